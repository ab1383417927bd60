"""Takes traces by OTLP over HTTP and says, a line of JSON for each request, what is in them: decoded by
OpenTelemetry's own Python package. The first requests get the answers that the command line names."""

import gzip
import json
import os
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service
from opentelemetry.proto.trace.v1 import trace_pb2

ANSWERS = [answer for answer in sys.argv[1:]]


def value(any_value):
    kind = any_value.WhichOneof("value")
    return None if kind is None else getattr(any_value, kind)


def attributes(pairs):
    keys = [pair.key for pair in pairs]
    assert len(keys) == len(set(keys)), f"an attribute stands there twice: {keys}"
    return {pair.key: value(pair.value) for pair in pairs}


def span(one):
    assert len(UnknownFieldSet(one)) == 0, "fields that OTLP does not have"
    return {
        "trace": one.trace_id.hex(),
        "span": one.span_id.hex(),
        "parent": one.parent_span_id.hex(),
        "name": one.name,
        "kind": trace_pb2.Span.SpanKind.Name(one.kind),
        "flags": one.flags,
        "from": one.start_time_unix_nano,
        "to": one.end_time_unix_nano,
        "status": trace_pb2.Status.StatusCode.Name(one.status.code),
        "message": one.status.message,
        "attributes": attributes(one.attributes),
        "events": [
            {"at": event.time_unix_nano, "name": event.name, "attributes": attributes(event.attributes)}
            for event in one.events
        ],
        "links": [{"trace": link.trace_id.hex(), "span": link.span_id.hex()} for link in one.links],
    }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        if ANSWERS:
            status, _, rejected = ANSWERS.pop(0).partition(":")
        else:
            status, rejected = "200", ""
        answer = service.ExportTraceServiceResponse()
        if rejected:
            answer.partial_success.rejected_spans = int(rejected)
            answer.partial_success.error_message = "too many"
        sent = answer.SerializeToString()
        request = service.ExportTraceServiceRequest.FromString(body)
        said = {
            "answer": int(status),
            "path": self.path,
            "headers": {name.lower(): text for name, text in self.headers.items()},
            "resources": [attributes(spans.resource.attributes) for spans in request.resource_spans],
            "spans": [
                span(one)
                for resource in request.resource_spans
                for scope in resource.scope_spans
                for one in scope.spans
            ],
        }
        print(json.dumps(said), flush=True)
        self.send_response(int(status))
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
if "TLS_CERTIFICATE" in os.environ:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["TLS_CERTIFICATE"], os.environ["TLS_KEY"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
