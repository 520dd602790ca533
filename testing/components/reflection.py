"""A gRPC client that knows nothing of the API beforehand: it asks the server what there is (server reflection).

    api = Api("unix:/run/greenring.sock")
    api.call("PoolService", "GetPool", name="pools/web").status.workers_ready
    for step in api.stream("OperationService", "WatchOperation", name="operations/5"): ...

Errors are grpc.RpcError; `violations(error)` are the fields that it names.
"""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PACKAGE = "greenring.control.v1"
DEADLINE_S = 20


def _full_name(service):
    return service if "." in service else f"{PACKAGE}.{service}"


def _message_class(pool, name):
    descriptor = pool.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # before protobuf 4.22


def _reflection_pool():
    """The messages of grpc.reflection.v1alpha, as far as they are used here."""
    file = descriptor_pb2.FileDescriptorProto(name="reflection.proto", package="grpc.reflection.v1alpha",
                                              syntax="proto3")
    string, message, data = 9, 11, 12

    def add(name, *fields):
        one = file.message_type.add(name=name)
        for number, field, kind, repeated, type_name in fields:
            one.field.add(name=field, number=number, type=kind, label=3 if repeated else 1, type_name=type_name)

    add("ServerReflectionRequest", (4, "file_containing_symbol", string, False, None),
        (7, "list_services", string, False, None))
    add("ServiceResponse", (1, "name", string, False, None))
    add("ListServiceResponse", (1, "service", message, True, ".grpc.reflection.v1alpha.ServiceResponse"))
    add("FileDescriptorResponse", (1, "file_descriptor_proto", data, True, None))
    add("ServerReflectionResponse",
        (4, "file_descriptor_response", message, False, ".grpc.reflection.v1alpha.FileDescriptorResponse"),
        (6, "list_services_response", message, False, ".grpc.reflection.v1alpha.ListServiceResponse"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


class Api:
    def __init__(self, address, credentials=None):
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = (grpc.secure_channel(address, credentials, options) if credentials
                        else grpc.insecure_channel(address, options))
        self._messages = descriptor_pool.DescriptorPool()
        self._reflection = _reflection_pool()
        self._known = set()

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _ask(self, **question):
        request = _message_class(self._reflection, "grpc.reflection.v1alpha.ServerReflectionRequest")
        response = _message_class(self._reflection, "grpc.reflection.v1alpha.ServerReflectionResponse")
        method = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                            request.SerializeToString, response.FromString)
        if "list_services" in question:
            question["list_services"] = question["list_services"] or "*"
        return next(iter(method(iter([request(**question)]), timeout=DEADLINE_S)))

    def services(self):
        return [one.name for one in self._ask(list_services="").list_services_response.service]

    def _add(self, file, files):
        """Adds a file, after those that it imports."""
        if file.name in self._known:
            return
        self._known.add(file.name)
        for imported in file.dependency:
            if imported in files:
                self._add(files[imported], files)
        self._messages.Add(file)

    def method(self, service, name):
        """The descriptor of a method. `service`: of the control API, or a full name, as "grpc.health.v1.Health"."""
        symbol = _full_name(service)
        if symbol not in self._known:
            texts = self._ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto
            files = [descriptor_pb2.FileDescriptorProto.FromString(text) for text in texts]
            self._add(files[0], {file.name: file for file in files})
            self._known.add(symbol)
        return self._messages.FindServiceByName(symbol).methods_by_name[name]

    def _request(self, service, name, fields):
        method = self.method(service, name)
        request = _message_class(self._messages, method.input_type.full_name)
        response = _message_class(self._messages, method.output_type.full_name)
        message = json_format.ParseDict(fields, request(), descriptor_pool=self._messages)
        return f"/{_full_name(service)}/{name}", request.SerializeToString, response.FromString, message

    def call(self, service, method, /, **fields):
        """The answer; `fields` as in the JSON form of the request."""
        path, to_bytes, from_bytes, message = self._request(service, method, fields)
        return self.channel.unary_unary(path, to_bytes, from_bytes)(message, timeout=DEADLINE_S)

    def stream(self, service, method, /, **fields):
        """The call, an iterator of messages; it can be cancelled."""
        path, to_bytes, from_bytes, message = self._request(service, method, fields)
        return self.channel.unary_stream(path, to_bytes, from_bytes)(message, timeout=DEADLINE_S)

    def wait(self, operation):
        """Waits until the operation is done, and returns it."""
        return self.call("OperationService", "WaitOperation", name=operation.name)


def violations(error):
    """{field: description} of an INVALID_ARGUMENT, from its trailer grpc-status-details-bin."""
    file = descriptor_pb2.FileDescriptorProto(name="details.proto", package="rpc", syntax="proto3")
    string, message, data = 9, 11, 12
    for name, fields in {
            "Any": [(1, "type_url", string, None), (2, "value", data, None)],
            "Status": [(3, "details", message, ".rpc.Any")],
            "FieldViolation": [(1, "field", string, None), (2, "description", string, None)],
            "BadRequest": [(1, "field_violations", message, ".rpc.FieldViolation")]}.items():
        one = file.message_type.add(name=name)
        for number, field, kind, type_name in fields:
            one.field.add(name=field, number=number, type=kind, label=3 if kind == message else 1, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
    found = {}
    for detail in _message_class(pool, "rpc.Status").FromString(details).details:
        if detail.type_url.endswith("google.rpc.BadRequest"):
            for one in _message_class(pool, "rpc.BadRequest").FromString(detail.value).field_violations:
                found[one.field] = one.description
    return found
