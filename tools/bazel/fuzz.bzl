"""A libFuzzer target whose corpus also runs as a plain test."""

def fuzz_test(name, srcs, corpus, corpus_dir, deps = []):
    """Declares NAME, the fuzzer, and NAME_corpus_test, which runs it once over each file of the corpus.

    bazel run --config=fuzz //protocol:NAME -- -max_total_time=60

    Args:
      name: ends in _fuzz.
      srcs: define LLVMFuzzerTestOneInput, which returns 0 and aborts when a property does not hold.
      corpus: a filegroup.
      corpus_dir: the folder of its files, from the root of the workspace. The fuzzer adds what it finds to the copy
        that it runs in, never to the source tree.
      deps: as in cc_binary.
    """
    native.cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        args = [corpus_dir],
        data = [corpus],
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = deps,
    )
    native.cc_test(
        name = name + "_corpus_test",
        size = "small",
        srcs = srcs,
        args = [corpus_dir],
        data = [corpus],
        deps = deps + ["//tools/bazel:fuzz_corpus_main"],
    )
