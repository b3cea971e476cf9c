"""A client of Rejoin in Python, on nothing but the published .proto files.

Uploads the shopping-cart resolver, binds it to a bucket, writes two carts that know nothing of each other,
and reads one merged cart. Stops at the first step that does not come out as told.

Usage: client.py HOST:PORT [HOST:PORT ...]     addresses of nodes of one cluster; ./run starts one

The stubs are generated into a temporary folder, so none are checked in that could be out of date.
"""

import hashlib
import importlib
import json
import sys
import tempfile
from pathlib import Path

import grpc
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugins" / "bin" / "shopping-cart.wasm"
DEADLINE_S = 10
UPLOAD_DEADLINE_S = 60
CHUNK_BYTES = 64 * 1024

BREAD = {"items": {"bread": 2, "milk": 1}}
EGGS = {"items": {"eggs": 12, "milk": 1}}
MERGED = {"items": {"bread": 2, "eggs": 12, "milk": 1}}


def generate_stubs(folder):
    """Makes `rejoin.v1.*_pb2` and `*_pb2_grpc` importable."""
    files = sorted(str(path) for path in (ROOT / "proto" / "rejoin" / "v1").glob("*.proto"))
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main(arguments + files) != 0:
        sys.exit("protoc refused the .proto files")
    sys.path.insert(0, folder)


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")
    print(f"ok  {what}")


def upload_parts(plugins_pb2, plugin):
    """The messages of one upload: first its size and hash, then the bytes."""
    digest = hashlib.sha256(plugin).hexdigest()
    yield plugins_pb2.PushRequest(start=plugins_pb2.PushStart(size_bytes=len(plugin), sha256=digest))
    for start in range(0, len(plugin), CHUNK_BYTES):
        yield plugins_pb2.PushRequest(chunk=plugin[start : start + CHUNK_BYTES])


def encode(cart):
    return json.dumps(cart, separators=(",", ":"), sort_keys=True).encode()


def upload_and_bind(channel):
    """Uploads the resolver and creates the bucket `carts` with it; returns the plugin's digest."""
    plugins_pb2 = importlib.import_module("rejoin.v1.plugins_pb2")
    plugins = importlib.import_module("rejoin.v1.plugins_pb2_grpc").PluginsStub(channel)
    buckets_pb2 = importlib.import_module("rejoin.v1.buckets_pb2")
    buckets = importlib.import_module("rejoin.v1.buckets_pb2_grpc").BucketsStub(channel)
    plugin = PLUGIN.read_bytes()
    pushed = plugins.Push(upload_parts(plugins_pb2, plugin), timeout=UPLOAD_DEADLINE_S)
    check("upload the resolver", pushed.plugin.digest, hashlib.sha256(plugin).hexdigest())
    resolver = buckets_pb2.Binding(plugin=pushed.plugin.digest)
    # A lawful resolver would merge with each put; here the conflict is to be seen.
    properties = buckets_pb2.Properties(resolver=resolver, merge_on_put=False)
    asked = buckets_pb2.CreateBucketRequest(bucket="carts", properties=properties, replace=True)
    created = buckets.Create(asked, timeout=DEADLINE_S)
    check("create the bucket everywhere", created.nodes_reached, created.nodes_total)
    return pushed.plugin.digest


def shop(channels, plugin):
    """Two blind puts, one merged cart, and a put that settles it."""
    kv_pb2 = importlib.import_module("rejoin.v1.kv_pb2")
    stub = importlib.import_module("rejoin.v1.kv_pb2_grpc").KvStub
    first, last = stub(channels[0]), stub(channels[-1])

    def put(kv, cart, context=b""):
        asked = kv_pb2.PutRequest(bucket="carts", key=b"anna", value=encode(cart), context=context, w=3)
        return kv.Put(asked, timeout=DEADLINE_S)

    def get(kv):
        asked = kv_pb2.GetRequest(bucket="carts", key=b"anna", r=3, with_siblings=True)
        return kv.Get(asked, timeout=DEADLINE_S)

    put(first, BREAD, get(first).context)
    second = put(last, EGGS)
    check("the second put stands beside the first", second.siblings, 2)
    merged = get(first)
    check("one cart comes back", [json.loads(value.value) for value in merged.values], [MERGED])
    check("the plugin merged it", merged.resolved.plugin, plugin)
    check("nothing was stored by reading", len(merged.siblings), 2)
    settled = put(last, MERGED, merged.context)
    check("a put with the context leaves one version", settled.siblings, 1)
    check("everybody sees it", [json.loads(value.value) for value in get(first).values], [MERGED])


def check_errors(channel):
    kv_pb2 = importlib.import_module("rejoin.v1.kv_pb2")
    kv = importlib.import_module("rejoin.v1.kv_pb2_grpc").KvStub(channel)
    try:
        kv.Get(kv_pb2.GetRequest(bucket="nowhere", key=b"key"), timeout=DEADLINE_S)
    except grpc.RpcError as error:
        check("a missing bucket is an error", error.code(), grpc.StatusCode.NOT_FOUND)
        return
    sys.exit("a missing bucket was not noticed")


def main(addresses):
    if not addresses:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        generate_stubs(folder)
        channels = [grpc.insecure_channel(address) for address in addresses]
        shop(channels, upload_and_bind(channels[0]))
        check_errors(channels[0])


if __name__ == "__main__":
    main(sys.argv[1:])
