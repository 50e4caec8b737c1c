use super::AcceptArgs;
use super::report::Report;
use anyhow::Result;
pub(crate) fn show(_: &mut Report, _: &AcceptArgs) -> Result<()> {
    Ok(())
}
