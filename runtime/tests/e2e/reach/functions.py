"""A counter that is served in every way in which Millpond can reach a function.

In:  a folder with `ca.pem`, `server.pem`, `server.key` and `token`; a Unix domain socket `fn.sock` is made in it.
Out: `ready TLS_PORT PLAIN_PORT` on stdout once all three listen. Over TLS a client needs a certificate of the authority, and
     a header `authorization` with what the file `token` of the folder holds at that moment.
"""

import argparse
import asyncio
import pathlib
import socket
import ssl

from aiohttp import web
from statefun import RequestReplyHandler, StatefulFunctions, ValueSpec, IntType, egress_message_builder, make_json_type

functions = StatefulFunctions()
EGRESS_RECORD = make_json_type("io.statefun.playground/EgressRecord")


async def count(context, message):
    context.storage.seen = (context.storage.seen or 0) + 1
    text = f"{context.address.namespace} {context.address.id} {context.storage.seen}"
    context.send_egress(
        egress_message_builder(
            "io.statefun.playground/egress", value={"topic": "counts", "payload": text}, value_type=EGRESS_RECORD
        )
    )


for namespace in ["tls", "unix", "plain"]:
    functions.bind(f"{namespace}/counter", specs=[ValueSpec(name="seen", type=IntType)])(count)

handler = RequestReplyHandler(functions)


async def call(request):
    answer = web.Response(body=await handler.handle_async(await request.read()), content_type="application/octet-stream")
    answer.enable_compression(web.ContentCoding.gzip)
    return answer


async def call_with_token(request):
    wanted = (request.app["folder"] / "token").read_text().strip()
    if request.headers.get("authorization") != f"Bearer {wanted}":
        raise web.HTTPUnauthorized(text="another token is wanted")
    return await call(request)


def application(route, folder):
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app["folder"] = folder
    app.add_routes([web.post("/statefun", route)])
    return app


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=pathlib.Path)
    folder = arguments.parse_args().folder

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    tls.load_verify_locations(folder / "ca.pem")
    tls.verify_mode = ssl.CERT_REQUIRED

    async def serve():
        secure, plain = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        for route, site in [
            (call_with_token, lambda runner: web.SockSite(runner, secure, ssl_context=tls)),
            (call, lambda runner: web.SockSite(runner, plain)),
            (call, lambda runner: web.UnixSite(runner, str(folder / "fn.sock"))),
        ]:
            runner = web.AppRunner(application(route, folder), access_log=None)
            await runner.setup()
            await site(runner).start()
        print(f"ready {secure.getsockname()[1]} {plain.getsockname()[1]}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
