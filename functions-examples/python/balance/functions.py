"""Keeps the balance of bank accounts, exactly: one stateful function, one instance per account.

In:    `bank/account`, id = the account, message `bank.types/Transaction`, JSON with the amount as text:
       `{"type": "credit", "amount": "700.00"}` or `{"type": "debit", ...}`.
Out:   a record on topic `overdrawn` each time that an account falls from zero or more to below zero.
State: the runtime keeps it: `balance_cents` and `transactions`. Money is counted in whole cents, never in floats.
"""

import argparse
import socket
from decimal import Decimal

from aiohttp import web
from statefun import (
    LongType,
    RequestReplyHandler,
    StatefulFunctions,
    ValueSpec,
    egress_message_builder,
    make_json_type,
)

TRANSACTION = make_json_type("bank.types/Transaction")
EGRESS_RECORD = make_json_type("io.statefun.playground/EgressRecord")
SIGN = {"credit": 1, "debit": -1}

functions = StatefulFunctions()


@functions.bind(
    "bank/account",
    specs=[ValueSpec("balance_cents", LongType), ValueSpec("transactions", LongType)],
)
def account(context, message):
    """Applies one transaction, and says so when it overdraws the account."""
    transaction = message.as_type(TRANSACTION)
    before = context.storage.balance_cents or 0
    after = before + SIGN[transaction["type"]] * cents(transaction["amount"])
    context.storage.balance_cents = after
    context.storage.transactions = (context.storage.transactions or 0) + 1

    if after < 0 <= before:
        context.send_egress(
            egress_message_builder(
                "io.statefun.playground/egress",
                value={"topic": "overdrawn", "payload": f"account {context.address.id} at {after} cents"},
                value_type=EGRESS_RECORD,
            )
        )


def cents(amount):
    """`"700.00"` as 70000; an amount with a fraction of a cent is refused rather than rounded."""
    value = Decimal(amount) * 100
    if value != value.to_integral_value():
        raise ValueError(f"amount {amount!r} is not a whole number of cents")
    return int(value)


handler = RequestReplyHandler(functions)


async def statefun(request):
    """The one route: request bytes in, response bytes out; the SDK does the rest."""
    answer = await handler.handle_async(await request.read())
    return web.Response(body=answer, content_type="application/octet-stream")


def main():
    """Serves until it is stopped. `--port 0` takes any free port; the first line printed says which."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8000)
    options = arguments.parse_args()

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.add_routes([web.post("/statefun", statefun)])
    listener = socket.create_server((options.host, options.port))
    print(f"ready http://{options.host}:{listener.getsockname()[1]}/statefun", flush=True)
    web.run_app(application, sock=listener, print=None, access_log=None)


if __name__ == "__main__":
    main()
