//! Diagnostics on stderr. By default only hints and defects; RIVIX_LOG chooses
//! more, in the syntax of tracing's EnvFilter (`RIVIX_LOG=rivix_task=debug`).

use crate::failure::Failure;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

const VARIABLE: &str = "RIVIX_LOG";
/// Hints for the person at the terminal carry this target.
const DEFAULT: &str = "error,rivix_hint=info";

pub(crate) fn start(quiet: bool) -> Result<(), Failure> {
    let chosen = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => Some(text),
        Ok(_) | Err(std::env::VarError::NotPresent) => None,
        Err(error) => return Err(bad(error)),
    };
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr);
    match chosen {
        Some(text) => {
            let filter = EnvFilter::builder().parse(&text).map_err(bad)?;
            builder.with_ansi(false).with_env_filter(filter).init();
        }
        None => {
            let filter = EnvFilter::new(if quiet { "off" } else { DEFAULT });
            builder.with_env_filter(filter).event_format(Plain).init();
        }
    }
    Ok(())
}

fn bad(error: impl std::fmt::Display) -> Failure {
    Failure::new(
        VARIABLE,
        error,
        "write it as `debug` or `rivix_task=trace,warn`",
    )
}

/// `rivix: message`, as our other lines.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> std::fmt::Result {
        write!(writer, "rivix: ")?;
        context
            .field_format()
            .format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
