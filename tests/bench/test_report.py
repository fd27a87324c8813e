"""Shows on figures made up here that medians, ratios, goals, chart and README say what the records say."""

import io
import pathlib
import tempfile
import types
import unittest
import xml.etree.ElementTree

import chart
import figures
import readme
import report

RATES = {"outboxd": (2000, 3000, 4000), "bound": (2500, 2500, 2500), "postfix": (400, 300, 500), "sink": (9000,)}
WORK = {"test": "accept", "clients": 10, "per_session": 1}
CASE = {"clients": 10, "per_session": 1}
MODULE = types.SimpleNamespace(
    TITLES={"accept": "Acceptance"}, MEASURES=(figures.Measure("accept", "rate", "messages/s", 0),),
    GOALS=(
        figures.least_ratio("as fast as the bound", 1, "accept", "rate", ["bound"], **CASE),
        figures.least_ratio("nine times Postfix", 9, "accept", "rate", figures.PEERS, **CASE),
        figures.most("at most 2,999", 2999, "messages/s", 0, "accept", "rate", **CASE),
        figures.most("one client", 1, "messages/s", 0, "accept", "rate", clients=1),
    ),
)


def result():
    records = [{**WORK, "subject": name, "round": number, "rate": rate, "acknowledged": 5, "failed": 0, "problem": ""}
               for name, rates in RATES.items() for number, rate in enumerate(rates)]
    summary = report.summarise(records, {"acceptance": MODULE})
    return {
        "at": "2026-11-23T12:00:00+00:00", "seconds": 9, "full": True, "rounds": {"acceptance": 5, "relay": 5},
        "machine": {"cpu": "a <fast> one", "cores": 2, "kernel": "6.1", "filesystem": "ext4", "system": "Debian"},
        "versions": {"outboxd": "0.1", "postfix": "3.7", "postfix-tuned": "3.7"}, "size_bytes": 4096,
        "notes": ["outboxd: note"], "absent": {"exim": "no network"}, "records": records, "summary": summary,
        "goals": report.check_goals(summary, {"acceptance": MODULE}),
    }


class TestReport(unittest.TestCase):
    def test_summary(self):
        row = figures.find_row(result()["summary"], "accept", "rate", **CASE)
        self.assertEqual(row["subjects"]["outboxd"], {"median": 3000, "min": 2000, "max": 4000, "rounds": 3})
        self.assertEqual(row["ratios"]["postfix"], 8)    # of 5, 10 and 8, not 3000 by 400
        self.assertEqual(figures.find_row(result()["summary"], "accept", "rate", clients=11), None)

    def test_goals(self):
        self.assertEqual([(row["measured"], row["reached"]) for row in result()["goals"]],
                         [("1.20 x bound", True), ("8.00 x postfix", False), ("3,000 messages/s", False),
                          ("not measured", None)])

    def test_tables(self):
        out = io.StringIO()
        report.show(result(), {"acceptance": MODULE}, out)
        for words in ("3,000 (2,000-4,000)", "8.00", "as fast as the bound", "exim: absent: no network"):
            self.assertIn(words, out.getvalue())
        self.assertNotIn("PROBLEM", out.getvalue())

    def test_problems(self):
        for name, record in {
            "failure": {"failed": 1, "problem": "451 later"},
            "loss": {"failed": 0, "problem": "", "acknowledged": 5, "delivered": 4, "repeats": 0},
            "repeat": {"failed": 0, "problem": "", "acknowledged": 5, "delivered": 5, "repeats": 1},
        }.items():
            with self.subTest(name):
                self.assertEqual(len(report.problems([{**WORK, "subject": "outboxd", **record}])), 1)


class TestChart(unittest.TestCase):
    def test_bars(self):
        root = xml.etree.ElementTree.fromstring(chart.draw(result()))
        named = "{http://www.w3.org/2000/svg}"
        widths = {bar.get("class"): float(bar.get("width")) for bar in root.iter(f"{named}rect")}
        texts = [text.text for text in root.iter(f"{named}text")]
        self.assertEqual(sorted(widths), ["bound", "ground", "own", "peer"])
        self.assertAlmostEqual(widths["own"] / widths["peer"], 3000 / 400, delta=0.1)
        self.assertEqual(len([path for path in root.iter(f"{named}path") if path.get("class") == "whisker"]), 3)
        self.assertIn("3,000", texts)
        self.assertNotIn("sink", texts)

    def test_nothing_measured(self):
        xml.etree.ElementTree.fromstring(chart.draw({**result(), "summary": []}))


class TestReadme(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.readme = pathlib.Path(scratch.name) / "README.md"
        self.readme.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")

    def test_replaces_what_is_between_the_markers(self):
        for _ in range(2):
            readme.render(result(), self.readme, "speed.svg")
            text = self.readme.read_text()
            self.assertTrue(text.startswith(f"before\n{readme.BEGIN}\n"))
            self.assertTrue(text.endswith(f"\n{readme.END}\nafter\n"))
            self.assertNotIn("old", text)
            for words in ("| accept, messages/s: 10 clients, one per connection | 3,000 (2,000-4,000) |", "| 8.00 |",
                          "1 of 4 reached", "outboxd 0.1, postfix 3.7.", "](speed.svg)"):
                self.assertIn(words, text)
        self.assertIn("<svg", self.readme.with_name("speed.svg").read_text())

    def test_refuses_what_is_no_claim(self):
        for name, change in {
            "quick": {"full": False},
            "few rounds": {"rounds": {"acceptance": 4, "relay": 5}},
            "in part": {"rounds": {"acceptance": 5}},
            "failure": {"records": [{"test": "error", "subject": "outboxd", "problem": "start: no"}]},
        }.items():
            with self.subTest(name), self.assertRaises(readme.Unfit):
                readme.render({**result(), **change}, self.readme, "speed.svg")
        self.readme.write_text(f"before\n{readme.END}\n{readme.BEGIN}\n")
        with self.assertRaises(readme.Unfit):
            readme.render(result(), self.readme, "speed.svg")


if __name__ == "__main__":
    unittest.main()
