"""Repositories for the libraries that the system's packages provide.

Each rule asks the system where a library is (pkg-config, python3.11-config, the compiler's own search path), and
fails with the Debian package to install when it is not there. Only the BUILD files of //third_party name these
repositories.
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "{name}",
    hdrs = {hdrs},
    defines = {defines},
    includes = {includes},
    linkopts = {linkopts},
)
"""

# Calls are cheaper in the static interpreter, which is not compiled for a shared library; it is what
# Debian's /usr/bin/python3.11 is made of. Extension modules find the C API in the program itself: it must export it.
_PYTHON_BUILD = """
package(default_visibility = ["//visibility:public"])

# The sanitizers want a program that can be loaded anywhere, which the archive is not compiled for.
config_setting(
    name = "asan",
    values = {{"define": "sanitizer=asan"}},
)

config_setting(
    name = "tsan",
    values = {{"define": "sanitizer=tsan"}},
)

cc_library(
    name = "{name}",
    hdrs = {hdrs},
    defines = {defines},
    includes = {includes},
    linkopts = select({{
        ":asan": {shared},
        ":tsan": {shared},
        "//conditions:default": {static} + ["-Wl,--export-dynamic"],
    }}),
)
"""

def _missing(ctx, what, hint):
    fail("{what} not found. Install it with: apt-get install {hint}  (tools/dev build does this for you)".format(
        what = what,
        hint = hint,
    ))

def _unique(items):
    return {item: None for item in items}.keys()

def _write_build(ctx, hdrs = "[]", defines = [], includes = [], linkopts = []):
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD.bazel", _BUILD.format(
        name = ctx.name,
        hdrs = hdrs,
        defines = repr(defines),
        includes = repr(includes),
        linkopts = repr(linkopts),
    ))

def _pkg_config_impl(ctx):
    if ctx.which("pkg-config") == None:
        _missing(ctx, "pkg-config", "pkg-config")

    # One call for all modules keeps the link order that static archives need.
    result = ctx.execute(["pkg-config", "--cflags", "--libs"] + ctx.attr.modules)
    if result.return_code != 0:
        _missing(ctx, " ".join(ctx.attr.modules), ctx.attr.hint)
    flags = result.stdout.strip().split(" ")
    defines = _unique([f[2:] for f in flags if f.startswith("-D")])
    linkopts = [f for f in flags if f.startswith("-l") or f.startswith("-L") or f.startswith("-Wl,")]
    _write_build(ctx, defines = defines, linkopts = linkopts)

pkg_config_repository = repository_rule(
    implementation = _pkg_config_impl,
    attrs = {
        "modules": attr.string_list(mandatory = True),
        "hint": attr.string(mandatory = True, doc = "the Debian packages that provide the modules"),
    },
    environ = ["PKG_CONFIG_PATH"],
    local = True,
)

def _system_library_impl(ctx):
    if not ctx.path("/usr/include/" + ctx.attr.header).exists:
        _missing(ctx, ctx.attr.header, ctx.attr.hint)
    _write_build(ctx, linkopts = ["-l" + name for name in ctx.attr.libraries])

system_library_repository = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "header": attr.string(mandatory = True, doc = "a header under /usr/include that proves the library is there"),
        "libraries": attr.string_list(),
        "hint": attr.string(mandatory = True),
    },
    local = True,
)

def _python_impl(ctx):
    config = ctx.os.environ.get("PYTHON_CONFIG", "/usr/bin/python3.11-config")
    if "/" not in config:
        config = str(ctx.which(config) or config)
    if not config.startswith("/") or not ctx.path(config).exists:
        _missing(ctx, config, "python3.11-dev")
    includes = ctx.execute([config, "--includes"])
    ldflags = ctx.execute([config, "--embed", "--ldflags"])
    configdir = ctx.execute([config, "--configdir"])
    if includes.return_code != 0 or ldflags.return_code != 0 or configdir.return_code != 0:
        fail("{config} --embed failed: {err}".format(config = config, err = ldflags.stderr))
    directories = _unique([f[2:] for f in includes.stdout.strip().split(" ") if f.startswith("-I")])
    links = []
    for i, directory in enumerate(directories):
        link = "include{}".format(i)
        ctx.symlink(directory, link)
        links.append(link)
    shared = [f for f in ldflags.stdout.strip().split(" ") if f]

    # The interpreter that the configuration belongs to: the embedded one computes its paths from it.
    executable = config[:-len("-config")] if config.endswith("-config") else config
    ctx.file("WORKSPACE", "")
    ctx.file("BUILD.bazel", _PYTHON_BUILD.format(
        name = ctx.name,
        hdrs = "glob([{}])".format(", ".join(['"{}/**/*.h"'.format(link) for link in links])),
        defines = repr(["GREENRING_PYTHON_EXECUTABLE=\\\"{}\\\"".format(executable)]),
        includes = repr(links),
        shared = repr(shared + ["-Wl,--export-dynamic"]),
        static = repr(_static_python(ctx, executable, configdir.stdout.strip()) or shared),
    ))

def _static_python(ctx, executable, configdir):
    """How to link the archive of the interpreter, or None when there is none."""
    library = configdir.split("/")[-1].split("-")[1]  # config-3.11-x86_64-linux-gnu
    archive = "libpython{}.a".format(library)
    if not ctx.path(configdir + "/" + archive).exists:
        return None
    libraries = ctx.execute([executable, "-c", """if True:
        import sysconfig
        print(*(sysconfig.get_config_var(name) or "" for name in ("MODLIBS", "LIBS", "SYSLIBS")))"""])
    if libraries.return_code != 0:
        fail("{} does not run: {}".format(executable, libraries.stderr))
    return ["-no-pie", "-L" + configdir, "-l:" + archive] + _unique([f for f in libraries.stdout.strip().split(" ") if f])

python_repository = repository_rule(
    implementation = _python_impl,
    doc = "CPython for embedding, static where its archive is installed; PYTHON_CONFIG names another python3-config " +
          "than /usr/bin/python3.11-config.",
    environ = ["PYTHON_CONFIG"],
    local = True,
)
