//! The results as a table, as JSON and as JUnit XML.

use std::fmt::Write as _;

use anyhow::Result;

use crate::column::Column;
use crate::suite::{Cell, Judgement, Verdict};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    /// Skipped tests and known failures; each has a printed reason.
    pub skipped: usize,
}

pub fn counts(cells: &[Cell]) -> Counts {
    let mut counts = Counts::default();
    for cell in cells {
        match cell.judgement {
            Judgement::Passed => counts.passed += 1,
            Judgement::Failed | Judgement::UnexpectedPass => counts.failed += 1,
            Judgement::KnownFailure | Judgement::Skipped => counts.skipped += 1,
        }
    }
    counts
}

fn word(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Passed => "pass",
        Judgement::Failed => "FAIL",
        Judgement::KnownFailure => "known",
        Judgement::UnexpectedPass => "PASS!",
        Judgement::Skipped => "skip",
    }
}

fn detail(cell: &Cell) -> &str {
    match &cell.verdict {
        Verdict::Pass => "",
        Verdict::Fail(text) | Verdict::Skip(text) => text,
    }
}

/// One row a test, one column a kernel; then every row that needs words.
pub fn table(cells: &[Cell], columns: &[Column]) -> String {
    let width = cells.iter().map(|c| c.test.len()).max().unwrap_or(0).max(4);
    let mut out = format!("{:width$}", "test");
    for column in columns {
        let _ = write!(out, " {:>7}", column.name);
    }
    out.push('\n');
    let mut rest = cells;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|c| c.test == first.test).count();
        let (row, after) = rest.split_at(count);
        let _ = write!(out, "{:width$}", first.test);
        for column in columns {
            let cell = row.iter().find(|c| c.column == column.name);
            let _ = write!(out, " {:>7}", cell.map_or("-", |c| word(c.judgement)));
        }
        out.push('\n');
        rest = after;
    }
    // What failed comes last, where a reader of a long log looks first.
    let fails = |cell: &&Cell| {
        matches!(
            cell.judgement,
            Judgement::Failed | Judgement::UnexpectedPass
        )
    };
    let others = cells.iter().filter(|cell| !fails(cell));
    for cell in others.chain(cells.iter().filter(fails)) {
        let (column, test) = (&cell.column, &cell.test);
        if let Some(first) = &cell.first_failure {
            let _ = writeln!(out, "again {column} {test}: failed at first: {first}");
        }
        let reason = cell.reason.as_deref().unwrap_or("");
        let _ = match cell.judgement {
            Judgement::Passed => Ok(()),
            Judgement::Failed => writeln!(out, "FAIL {column} {test}: {}", detail(cell)),
            Judgement::UnexpectedPass => {
                writeln!(
                    out,
                    "UNEXPECTED PASS {column} {test}: listed as \"{reason}\""
                )
            }
            Judgement::KnownFailure => writeln!(out, "known {column} {test}: {reason}"),
            Judgement::Skipped => writeln!(out, "skip {column} {test}: {}", detail(cell)),
        };
    }
    out
}

pub fn json(cells: &[Cell]) -> Result<String> {
    Ok(serde_json::to_string_pretty(cells)?)
}

pub fn junit(cells: &[Cell]) -> String {
    let Counts {
        failed, skipped, ..
    } = counts(cells);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuite name=\"rivix\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\">",
        cells.len()
    );
    for cell in cells {
        let _ = write!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\">",
            escape(&cell.column),
            escape(&cell.test)
        );
        let text = escape(cell.reason.as_deref().unwrap_or(detail(cell)));
        let _ = match cell.judgement {
            Judgement::Passed => Ok(()),
            Judgement::Failed => write!(out, "<failure message=\"{text}\"/>"),
            Judgement::UnexpectedPass => {
                write!(out, "<failure message=\"unexpected pass: {text}\"/>")
            }
            Judgement::KnownFailure | Judgement::Skipped => {
                write!(out, "<skipped message=\"{text}\"/>")
            }
        };
        out.push_str("</testcase>\n");
    }
    out.push_str("</testsuite>\n");
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if (c as u32) < 0x20 => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(judgement: Judgement, verdict: Verdict) -> Cell {
        Cell {
            column: "host".into(),
            test: "a/b::c".into(),
            verdict,
            judgement,
            reason: None,
            first_failure: None,
        }
    }

    #[test]
    fn everything_is_counted_once() {
        let cells = [
            cell(Judgement::Passed, Verdict::Pass),
            cell(Judgement::Failed, Verdict::Fail("<&\">".into())),
            cell(Judgement::KnownFailure, Verdict::Fail(String::new())),
            cell(Judgement::UnexpectedPass, Verdict::Pass),
            cell(Judgement::Skipped, Verdict::Skip("why".into())),
        ];
        assert_eq!(
            counts(&cells),
            Counts {
                passed: 1,
                failed: 2,
                skipped: 2
            }
        );
        let xml = junit(&cells);
        assert!(xml.contains("&lt;&amp;&quot;&gt;"), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), cells.len());
        let table = table(&cells, &[Column::host()]);
        assert!(table.contains("skip host a/b::c: why"));
        assert!(table.ends_with("UNEXPECTED PASS host a/b::c: listed as \"\"\n"));
    }
}
