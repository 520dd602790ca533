"""What the benchmark says: medians and ratios, tables for people, JSON for programs."""

import json
import statistics

import servers

# figure, heading, format; a table shows the columns that its rows have
COLUMNS = (
    ("rps", "req/s", "{:,.0f}"),
    ("p50_us", "p50 µs", "{:,.0f}"),
    ("p99_us", "p99 µs", "{:,.0f}"),
    ("cpu_us", "CPU µs/req", "{:.2f}"),
    ("cpu_ratio", "x limit", "{:.2f}"),
    ("syscalls", "syscalls/req", "{:.2f}"),
    ("switches", "switches/req", "{:.3f}"),
    ("server_busy", "server busy", "{:.0%}"),
    ("client_busy", "client busy", "{:.0%}"),
    ("disturbed", "waited", "{:.0%}"),
    ("answered", "answered", "{:,.0f}"),
    ("errors", "errors", "{:,.0f}"),
    ("parked_bytes", "parked B/req", "{:,.0f}"),
    ("open", "open", "{:,.0f}"),
    ("first_bytes", "first B/conn", "{:,.0f}"),
    ("again_bytes", "again B/conn", "{:,.0f}"),
    ("kept_bytes", "kept B/conn", "{:,.0f}"),
    ("deliveries", "delivered", "{:,.0f}"),
    ("user_bytes", "RSS B/user", "{:,.0f}"),
    ("user_pss_bytes", "PSS B/user", "{:,.0f}"),
    ("peak_bytes", "peak B/user", "{:,.0f}"),
    ("call_ns", "suspend() ns", "{:,.0f}"),
    ("yield_ns", "yield_ ns", "{:,.0f}"),
    ("greenlet_switch", "greenlet", "{:.1f}x"),
    ("gevent_sleep", "gevent", "{:.1f}x"),
    ("go_ns", "go+join ns", "{:,.0f}"),
    ("greenlet_run", "greenlet", "{:.1f}x"),
    ("gevent_spawn", "gevent", "{:.1f}x"),
    ("channel_ns", "channel ns", "{:,.0f}"),
    ("gevent_channel", "gevent", "{:.1f}x"),
    ("select_ns", "select ns", "{:,.0f}"),
    ("buffer_ns", "buffered ns", "{:,.0f}"),
    ("one_us", "one: CPU µs/req", "{:.2f}"),
    ("two_us", "two: CPU µs/req", "{:.2f}"),
    ("scaling", "scaling", "{:.2f}x"),
    ("throughput", "throughput", "{:.2f}x"),
    ("larger_share", "busier one", "{:.0%}"),
    ("ucontext_p99_us", "ucontext p99 µs", "{:,.0f}"),
    ("fcontext_p99_us", "fcontext p99 µs", "{:,.0f}"),
    ("thread_p99_us", "thread p99 µs", "{:,.0f}"),
    ("switched_p99_us", "switched p99 µs", "{:,.0f}"),
    ("p99_rise_us", "rise µs", "{:,.0f}"),
    ("changes", "changes", "{:,.0f}"),
    ("change_ms", "ms each", "{:,.1f}"),
    ("listed", "listed", "{:,.0f}"),
    ("listing_ms", "listing ms", "{:,.1f}"),
    ("respawn_ms", "respawn ms", "{:,.0f}"),
    ("rss_bytes", "RSS MiB", None),
    ("pss_bytes", "PSS MiB", None),
)


def medians(rounds):
    """{server: {figure: median}} of {server: [figures of a round, ...]}, with each server's CPU against the limit's.

    The ratio is taken round by round, because servers measured in the same round shared what the machine did.
    """
    table = {}
    limit = rounds.get(servers.LIMIT, [])
    for server, rows in rounds.items():
        figures = {}
        for figure in rows[0]:
            values = [row[figure] for row in rows if row[figure] is not None]
            figures[figure] = statistics.median(values) if values else None
        if limit and "cpu_us" in figures:
            figures["cpu_ratio"] = statistics.median(
                row["cpu_us"] / base["cpu_us"] for row, base in zip(rows, limit, strict=True)
            )
        table[server] = figures
    return table


def table(title, rows):
    """The text of one scenario's table."""
    columns = [column for column in COLUMNS if any(row.get(column[0]) is not None for row in rows.values())]
    lines = [["", *[heading for _, heading, _ in columns]]]
    for server, row in rows.items():
        lines.append([server, *[_cell(row.get(figure), form) for figure, _, form in columns]])
    return "\n".join([title, *_align(lines)])


def targets_table(checked):
    lines = [["target", "bound", "measured", ""]]
    for target, value, verdict in checked:
        measured = "-" if value is None else f"{value:,.2f} {target.unit}".rstrip()
        lines.append([target.name, target.limit, measured, verdict])
    return "\n".join(["Targets", *_align(lines)])


def write_json(path, machine, rounds, tables, micro, checked):
    document = {
        "machine": machine,
        "rounds": rounds,
        "medians": tables,
        "micro": {f"{name}/{engine}": figures for (name, engine), figures in micro.items()},
        "targets": [
            {"name": target.name, "bound": target.limit, "unit": target.unit, "measured": value, "verdict": verdict}
            for target, value, verdict in checked
        ],
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def _cell(value, form):
    if value is None:
        return "-"
    return f"{value / 2**20:,.1f}" if form is None else form.format(value)


def _align(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        first, *rest = line
        yield "  ".join([first.ljust(widths[0]), *[cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True)]])
