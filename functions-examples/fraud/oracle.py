"""Recomputes what the fraud functions must have done, from RULES.md alone.

In:  on stdin one JSON array a line, [account, typename, value, anything else], in the order in which each account's messages were sent;
     as the one argument the path of model.json.
Out: on stdout one JSON object a line: every alert {"alert": ...}, every first notification {"notification": ...}, and at
     the end for every account {"account": ..., "profile": ..., "notifier": ...} as the functions keep them.

Shares no code with the functions. Needs nothing but Python 3.10.
"""

import json
import math
import sys

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
RATES = {"EUR": 10_000, "USD": 9_200, "GBP": 11_700, "CHF": 10_500}
RULES = ["burst", "velocity", "impossible-travel", "amount-spike", "new-device", "unusual-hour"]
TEXTS = ("transactionId", "accountId", "currency", "location", "deviceId")


def is_number(x):
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)


def valid(text):
    try:
        t = json.loads(text)
    except ValueError:
        return None
    if not isinstance(t, dict):
        return None
    if not all(isinstance(t.get(name), str) for name in TEXTS):
        return None
    if not all(is_number(t.get(name)) for name in ("amount", "lat", "lon")):
        return None
    if not isinstance(t.get("timestamp"), int) or isinstance(t["timestamp"], bool):
        return None
    if not 0 <= t["timestamp"] <= 10**15:
        return None
    if t["currency"] not in RATES or not 0 < t["amount"] <= 10_000_000:
        return None
    return t


def metres(lat1, lon1, lat2, lon2):
    lat1, lon1, lat2, lon2 = map(math.radians, (lat1, lon1, lat2, lon2))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return math.floor(6_371_000 * 2 * math.asin(math.sqrt(min(h, 1.0))) + 0.5)


class Account:
    def __init__(self, name, model):
        self.name = name
        self.model = model
        self.recorded = []  # every record ever: (timestamp, cents, lat, lon, id, device), in order of arrival
        self.newest = None
        self.devices = {}
        self.risk = 0
        self.blocked = False
        self.counts = {"judged": 0, "invalid": 0, "tooLate": 0, "repeated": 0, "declined": 0}
        self.last_notified = None
        self.notified = self.suppressed = 0

    def handle(self, kind, text, out):
        if kind == "fraud.types/Transaction":
            self.transaction(text, out)
        elif kind == "fraud.types/ConfirmFraud":
            self.feedback(text)
        elif kind == "fraud.types/BlockAccount":
            self.blocked = True
        elif kind == "fraud.types/UnblockAccount":
            self.blocked = False
        else:
            self.counts["invalid"] += 1

    def feedback(self, text):
        try:
            fraud = json.loads(text)["fraud"]
        except (ValueError, TypeError, KeyError):
            fraud = None
        if not isinstance(fraud, bool):
            self.counts["invalid"] += 1
        else:
            self.risk = min(self.risk + 1, 5) if fraud else max(self.risk - 1, 0)

    def transaction(self, text, out):
        t = valid(text)
        if t is None:
            self.counts["invalid"] += 1
            return
        time = t["timestamp"]
        if self.newest is not None and time < self.newest - DAY:
            self.counts["tooLate"] += 1
            return
        if any(r[4] == t["transactionId"] for r in self.kept()):
            self.counts["repeated"] += 1
            return
        if self.blocked:
            self.counts["declined"] += 1
            return
        self.counts["judged"] += 1
        cents = (math.floor(t["amount"] * 100 + 0.5) * RATES[t["currency"]] + 5000) // 10_000
        hits, words, features = self.judge(t, time, cents)
        if hits:
            self.score(t, hits, words, features, out)
        self.recorded.append((time, cents, t["lat"], t["lon"], t["transactionId"], t["deviceId"]))
        self.newest = time if self.newest is None else max(self.newest, time)
        self.devices[t["deviceId"]] = max(time, self.devices.get(t["deviceId"], 0))
        if len(self.devices) > 16:
            del self.devices[min(self.devices, key=lambda name: (self.devices[name], name.encode()))]

    def kept(self):
        """What is within 24 h of the newest, in order of arrival."""
        return [r for r in self.recorded if r[0] >= self.newest - DAY] if self.recorded else []

    def days(self):
        """Number and sum of each day that is not forgotten."""
        found = {}
        for r in self.recorded:
            day = found.setdefault(r[0] // DAY, [0, 0])
            day[0] += 1
            day[1] += r[1]
        return {day: v for day, v in found.items() if day >= self.newest // DAY - 30}

    def judge(self, t, time, cents):
        kept = self.kept()
        large = cents > 200_000
        large_in_5m = sum(r[1] > 200_000 for r in kept if time - 5 * MINUTE < r[0] <= time) + large
        count_in_2m = sum(time - 2 * MINUTE < r[0] <= time for r in kept) + 1
        before = None
        for r in kept:
            if time - HOUR <= r[0] <= time and (before is None or r[0] >= before[0]):
                before = r
        distance = metres(before[2], before[3], t["lat"], t["lon"]) if before else 0
        today = time // DAY
        window = [r[1] for r in self.recorded if today - 29 <= r[0] // DAY <= today and r[0] // DAY >= self.newest // DAY - 30]
        n, s = len(window), sum(window)
        ratio = (cents * 100 * n + s // 2) // s if n >= 10 else 0
        new_device = int(bool(self.recorded) and t["deviceId"] not in self.devices)
        hour = time // HOUR % 24
        total = len(self.recorded)
        near = sum(min((r[0] // HOUR - hour) % 24, (hour - r[0] // HOUR) % 24) <= 1 for r in self.recorded)
        share = near * 10_000 // total if total >= 20 else 10_000
        features = {
            "amountCents": cents, "largeIn5m": large_in_5m, "countIn2m": count_in_2m, "distanceM": distance,
            "averageRatio": ratio, "newDevice": new_device, "hourShare": share, "risk": self.risk,
        }
        judged = {
            "burst": (large and large_in_5m >= 3, f"{large_in_5m} payments over 2,000 EUR in 5 minutes"),
            "velocity": (count_in_2m > 5, f"{count_in_2m} payments in 2 minutes"),
            "impossible-travel": (distance > 500_000, f"{distance // 1000} km from the payment before, within an hour"),
            "amount-spike": (n >= 10 and cents * n > 3 * s, f"{ratio // 10 // 10}.{ratio // 10 % 10} times the 30-day average"),
            "new-device": (new_device == 1 and cents > 50_000, f"{cents // 100}.{cents % 100:02} EUR from a new device"),
            "unusual-hour": (total >= 20 and near * 50 < total, f"an unusual hour ({hour:02}:00 UTC)"),
        }
        hits = [rule for rule in RULES if judged[rule][0]]
        return hits, "; ".join(judged[rule][1] for rule in hits), features

    def score(self, t, hits, words, features, out):
        weights = self.model["weights"]
        z = self.model["bias"]
        for rule in RULES:
            z += weights[rule] * (1.0 if rule in hits else 0.0)
        z += weights["amount"] * math.log(1 + features["amountCents"] / 10_000)
        z += weights["averageRatio"] * (min(features["averageRatio"], 2000) / 100)
        z += weights["countIn2m"] * features["countIn2m"]
        z += weights["risk"] * features["risk"]
        score = math.floor(10_000 / (1 + math.exp(-z)) + 0.5)
        if score < self.model["threshold"]:
            return
        alert = {
            "alertId": f"{self.name}-{t['transactionId']}", "accountId": self.name, "transactionId": t["transactionId"],
            "timestamp": t["timestamp"], "rules": hits, "explanation": words, "features": features, "score": score / 10_000,
            "modelName": self.model["modelName"], "modelVersion": self.model["modelVersion"],
        }
        out({"alert": alert})
        if self.last_notified is not None and abs(t["timestamp"] - self.last_notified) < 5 * MINUTE:
            self.suppressed += 1
            return
        self.last_notified = t["timestamp"]
        self.notified += 1
        out({"notification": {
            "notificationId": alert["alertId"], "accountId": self.name, "timestamp": t["timestamp"], "reminder": 0, "text": words,
        }})

    def result(self):
        hours = [0] * 24
        for r in self.recorded:
            hours[r[0] // HOUR % 24] += 1
        return {
            "account": self.name,
            "profile": {
                "newest": self.newest,
                "recent": [[r[4], r[0], r[1], r[2], r[3]] for r in self.kept()],
                "days": {str(day): value for day, value in self.days().items()} if self.recorded else {},
                "devices": self.devices, "hours": hours, "risk": self.risk, "blocked": self.blocked, **self.counts,
            },
            "notifier": {"lastNotified": self.last_notified, "notified": self.notified, "suppressed": self.suppressed},
        }


def main():
    with open(sys.argv[1]) as file:
        model = json.load(file)
    accounts = {}
    lines = []
    for line in sys.stdin:
        name, kind, text, *_ = json.loads(line)
        account = accounts.get(name)
        if account is None:
            account = accounts[name] = Account(name, model)
        account.handle(kind, text, lambda found: lines.append(json.dumps(found)))
    lines.extend(json.dumps(account.result()) for account in accounts.values())
    print("\n".join(lines))


if __name__ == "__main__":
    main()
