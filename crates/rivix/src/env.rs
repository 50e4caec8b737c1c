//! Environments and arguments: lists that may hold any bytes but NUL.

use crate::error::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub(crate) type Variables = Vec<(OsString, OsString)>;

/// Sets a variable where it stands, or at the end.
pub(crate) fn set(variables: &mut Variables, key: &OsStr, value: &OsStr) {
    match variables.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value.to_owned(),
        None => variables.push((key.to_owned(), value.to_owned())),
    }
}

pub(crate) fn check(variables: &Variables) -> Result<()> {
    for (key, value) in variables {
        let bad = |what| {
            let mut thing = key.clone();
            thing.push("=");
            thing.push(value);
            Err(Error::BadArgument {
                thing: thing.to_string_lossy().into_owned(),
                what,
                remedy: "write an environment variable as KEY=VALUE",
            })
        };
        if key.is_empty() {
            return bad("has no name");
        }
        if key.as_bytes().contains(&b'=') {
            return bad("has an = in its name");
        }
        if key.as_bytes().contains(&0) || value.as_bytes().contains(&0) {
            return bad("holds a NUL byte");
        }
    }
    Ok(())
}

pub(crate) fn check_argument(argument: &OsStr) -> Result<()> {
    if argument.as_bytes().contains(&0) {
        return Err(Error::BadArgument {
            thing: argument.to_string_lossy().into_owned(),
            what: "holds a NUL byte",
            remedy: "arguments end at the first NUL: remove it",
        });
    }
    Ok(())
}

/// `KEY=VALUE` strings, as execve(2) takes them.
pub(crate) fn to_strings(variables: &Variables) -> Vec<Vec<u8>> {
    variables
        .iter()
        .map(|(key, value)| [key.as_bytes(), b"=", value.as_bytes()].concat())
        .collect()
}

pub(crate) fn into_bytes(text: OsString) -> Vec<u8> {
    text.into_vec()
}
