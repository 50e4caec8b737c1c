//! Durations as people write them.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadDuration {
    NoNumber,
    NoUnit,
    UnknownUnit(String),
    TooLong,
}

impl std::error::Error for BadDuration {}

impl std::fmt::Display for BadDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadDuration::NoNumber => f.write_str("does not begin with a number")?,
            BadDuration::NoUnit => f.write_str("has no unit")?,
            BadDuration::UnknownUnit(unit) => write!(f, "`{unit}` is not a unit")?,
            BadDuration::TooLong => f.write_str("is too long")?,
        }
        f.write_str("; write it as 500ms, 10s, 1.5m or 2h")
    }
}

/// Reads `500ms`, `10s`, `1.5m`, `2h`, `250us`.
pub(crate) fn parse(text: &str) -> Result<Duration, BadDuration> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| BadDuration::NoNumber)?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "" => return Err(BadDuration::NoUnit),
        other => return Err(BadDuration::UnknownUnit(other.to_owned())),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| BadDuration::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let check = |text: &str, expect: Result<Duration, BadDuration>| {
            assert_eq!(parse(text), expect, "{text}");
        };
        check("500ms", Ok(Duration::from_millis(500)));
        check("10s", Ok(Duration::from_secs(10)));
        check("1.5m", Ok(Duration::from_secs(90)));
        check("2h", Ok(Duration::from_secs(7200)));
        check("250us", Ok(Duration::from_micros(250)));
        check("0s", Ok(Duration::ZERO));
        check("", Err(BadDuration::NoNumber));
        check("s", Err(BadDuration::NoNumber));
        check("-1s", Err(BadDuration::NoNumber));
        check("1.2.3s", Err(BadDuration::NoNumber));
        check("10", Err(BadDuration::NoUnit));
        check("10 s", Err(BadDuration::UnknownUnit(" s".into())));
        check("10parsecs", Err(BadDuration::UnknownUnit("parsecs".into())));
        check("99999999999999999999999h", Err(BadDuration::TooLong));
    }
}
