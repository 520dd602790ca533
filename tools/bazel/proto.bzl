"""C++ from .proto files by the system's protoc: Bazel's own rules want to build it from its sources."""

def _generate(name, srcs, deps, suffix, command):
    stems = [src[:-len(".proto")] for src in srcs]
    hdrs = [stem + suffix + ".h" for stem in stems]
    sources = [stem + suffix + ".cc" for stem in stems]
    native.genrule(
        name = name + "_generate",
        srcs = srcs + deps,
        outs = hdrs + sources,
        cmd = "protoc -I{} {} {}".format(
            native.package_name(),
            command,
            " ".join(["$(location {})".format(src) for src in srcs]),
        ),
        message = "Generating C++ of " + name,
    )
    return hdrs, sources

def cc_proto(name, srcs, deps = [], visibility = None):
    """The messages of `srcs` as a cc_library; imports are relative to this package.

    Args:
      name: of the cc_library.
      srcs: .proto files.
      deps: cc_protos of this package whose files are imported.
      visibility: of the cc_library.
    """
    native.filegroup(
        name = name + "_protos",
        srcs = srcs + [dep + "_protos" for dep in deps],
    )
    hdrs, sources = _generate(name, srcs, [dep + "_protos" for dep in deps], ".pb", "--cpp_out=$(RULEDIR)")
    native.cc_library(
        name = name,
        srcs = sources,
        hdrs = hdrs,
        copts = ["-w"],
        includes = ["."],
        visibility = visibility,
        deps = deps + ["//third_party:protobuf"],
    )

def cc_grpc(name, srcs, messages, visibility = None):
    """The services of `srcs` as a cc_library.

    Args:
      name: of the cc_library.
      srcs: .proto files that have services.
      messages: the cc_proto that they are in.
      visibility: of the cc_library.
    """
    hdrs, sources = _generate(
        name,
        srcs,
        [messages + "_protos"],
        ".grpc.pb",
        "--grpc_out=$(RULEDIR) --plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin",
    )
    native.cc_library(
        name = name,
        srcs = sources,
        hdrs = hdrs,
        copts = ["-w"],
        includes = ["."],
        visibility = visibility,
        deps = [messages, "//third_party:grpc"],
    )
