"""Alerts for promised times (`slo` of a profile): `python -m deploy.monitoring.burn_rates`.

The workers export what each profile allows, so the same rules hold for every profile. An alert
looks at how fast what may be missed in 30 days is used up, in a long and a short window: the long
one so that a blip wakes nobody, the short one so that it ends when all is well again. Windows and
rates are those of Google's SRE Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
"""

from pathlib import Path

RULES = Path(__file__).resolve().parent / "rules" / "slo.yml"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FAST = (("1h", "5m", 14.4), ("6h", "30m", 6.0))
SLOW = (("1d", "2h", 3.0), ("3d", "6h", 1.0))
_BY = "sum by (agent, slo)"
_ALLOWED = "max by (agent, slo) (griot_slo_allowed_ratio)"

HEAD = """\
# What part of the jobs missed a promised time, and alerts. Made by deploy/monitoring/burn_rates.py.

groups:
  - name: griot-slo
    rules:
"""


def recorded(window: str) -> str:
    """The series of the part that missed in a window."""
    return f"griot:slo_missed:ratio_rate{window}"


def rules_text() -> str:
    """As the file has it."""
    records = "".join(
        f"      - record: {recorded(window)}\n"
        f"        expr: |\n"
        f"          {_BY} (rate(griot_slo_missed_total[{window}]))\n"
        f"            / {_BY} (rate(griot_slo_measured_total[{window}]))\n"
        for window in WINDOWS
    )
    fast = _alert("GriotSloBurnsFast", FAST, "page", "promised-times-are-missed-by-many")
    slow = _alert("GriotSloBurnsSlowly", SLOW, "ticket", "promised-times-are-missed-by-some")
    return HEAD + records + fast + slow


def _alert(
    name: str, pairs: tuple[tuple[str, str, float], ...], severity: str, section: str
) -> str:
    either = "\n            or ".join(
        f"({recorded(long)} > {rate:g} * {_ALLOWED}\n"
        f"              and {recorded(short)} > {rate:g} * {_ALLOWED})"
        for long, short, rate in pairs
    )
    return (
        f"      - alert: {name}\n"
        f"        expr: |\n"
        f"          {either}\n"
        f"        labels: {{severity: {severity}}}\n"
        f"        annotations:\n"
        "          summary: Of agent {{ $labels.agent }} {{ $value | humanizePercentage }} "
        "of the jobs miss their {{ $labels.slo }}\n"
        f"          runbook_url: docs/runbooks.md#{section}\n"
    )


def main() -> None:
    """Write the rules anew."""
    RULES.write_text(rules_text(), "utf-8")


if __name__ == "__main__":
    main()
