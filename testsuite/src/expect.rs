//! The list of known failures: `column`, `program::test`, `fail` or `may-fail`
//! and the reason, separated by tabs. A trailing `*` matches any rest.

use anyhow::{Context, Result, bail};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    pub column: String,
    pub test: String,
    /// With `may-fail` a pass is no news: for what depends on a version.
    pub may_pass: bool,
    pub reason: String,
}

impl Expectation {
    pub fn covers(&self, column: &str, test: &str) -> bool {
        self.column == column
            && match self.test.strip_suffix('*') {
                Some(start) => test.starts_with(start),
                None => self.test == test,
            }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Expectations(Vec<Expectation>);

impl Expectations {
    pub fn parse(text: &str) -> Result<Expectations> {
        let mut list = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            list.push(
                parse_line(line).with_context(|| format!("expectations, line {}", index + 1))?,
            );
        }
        Ok(Expectations(list))
    }

    pub fn find(&self, column: &str, test: &str) -> Option<&Expectation> {
        self.0.iter().find(|e| e.covers(column, test))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.0.iter()
    }
}

fn parse_line(line: &str) -> Result<Expectation> {
    let fields: Vec<_> = line.splitn(4, '\t').collect();
    let [column, test, kind, reason] = fields[..] else {
        bail!("four fields separated by tabs are needed")
    };
    let may_pass = match kind {
        "fail" => false,
        "may-fail" => true,
        other => bail!("{other:?} is neither fail nor may-fail"),
    };
    if reason.trim().is_empty() {
        bail!("a reason is needed");
    }
    Ok(Expectation {
        column: column.into(),
        test: test.into(),
        may_pass,
        reason: reason.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        #[track_caller]
        fn check(text: &str, column: &str, test: &str, found: Option<(bool, &str)>) {
            let list = Expectations::parse(text).expect("parses");
            let got = list
                .find(column, test)
                .map(|e| (e.may_pass, e.reason.as_str()));
            assert_eq!(got, found, "{text:?}");
        }
        check("# nothing\n\n", "qemu", "a::b", None);
        check(
            "qemu\ta::b\tfail\tno clone3",
            "qemu",
            "a::b",
            Some((false, "no clone3")),
        );
        check("qemu\ta::b\tfail\tno clone3", "rivix", "a::b", None);
        check(
            "qemu\ta::*\tmay-fail\tversions",
            "qemu",
            "a::x",
            Some((true, "versions")),
        );
    }

    #[test]
    fn mistakes() {
        for text in ["qemu a b c", "qemu\ta\tmaybe\tr", "qemu\ta\tfail\t "] {
            assert!(Expectations::parse(text).is_err(), "{text:?}");
        }
    }
}
