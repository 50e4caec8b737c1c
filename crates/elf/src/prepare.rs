//! The first half of an execve: everything that can be refused without having
//! touched anything.

use crate::error::{LoadError, Problem};
use crate::file::{self, ExecFile};
use crate::image::{Image, Outline};
use crate::script;
use rivix_abi::Errno;
use std::sync::Arc;

/// One argument or environment string with its NUL: 32 pages.
pub const MAX_ARG_STRLEN: u64 = 131_072;
/// What arguments and environment may always take, whatever the stack limit.
const ARG_MAX: u64 = 131_072;
/// Three quarters of the default 8 MiB stack: the most they may ever take.
const ARG_CEILING: u64 = 6 << 20;
/// Bytes of an ELF header.
const HEADER_LEN: u64 = 64;
/// Scripts whose interpreters are scripts (execve(2), "Interpreter scripts").
const SCRIPT_DEPTH: usize = 5;

/// Opens a program or script interpreter by the path the guest's files name.
pub type Lookup<'a> = &'a mut dyn FnMut(&[u8]) -> Result<Arc<dyn ExecFile>, Errno>;

/// What to run.
pub struct LoadRequest<'a> {
    pub program: Arc<dyn ExecFile>,
    /// The path given to execve: AT_EXECFN, and what a script's interpreter gets.
    pub execfn: Vec<u8>,
    pub argv: Vec<Vec<u8>>,
    pub envp: Vec<Vec<u8>>,
    pub lookup: Lookup<'a>,
    /// The size of the address space it will be loaded into.
    pub task_size: u64,
    /// RLIMIT_STACK's soft limit.
    pub stack_limit: u64,
}

/// A program found loadable, with its final arguments.
#[derive(Debug)]
pub struct Prepared {
    pub program: Image,
    pub interpreter: Option<Image>,
    pub argv: Vec<Vec<u8>>,
    pub envp: Vec<Vec<u8>>,
    pub execfn: Vec<u8>,
    pub(crate) stack_limit: u64,
}

impl Prepared {
    /// The file that becomes /proc/self/exe: the program, or a script's
    /// interpreter.
    pub fn file(&self) -> &Arc<dyn ExecFile> {
        &self.program.file
    }
}

/// How many bytes arguments and environment may take, pointers included
/// (execve(2), "Limits on size of arguments and environment").
pub fn argument_limit(stack_limit: u64) -> u64 {
    (stack_limit / 4).clamp(ARG_MAX, ARG_CEILING)
}

/// Follows `#!` lines to a program, checks it and its interpreter.
pub fn prepare(request: LoadRequest<'_>) -> Result<Prepared, LoadError> {
    let LoadRequest {
        mut program,
        execfn,
        mut argv,
        envp,
        lookup,
        task_size,
        stack_limit,
    } = request;
    let asked_name = program.name();
    // Since Linux 5.18 a program never sees an argc of zero.
    if argv.is_empty() {
        argv.push(Vec::new());
    }

    let mut path = execfn.clone();
    let mut depth = 0;
    while let Some(script) = read_script(&*program)? {
        depth += 1;
        if depth > SCRIPT_DEPTH {
            return Err(LoadError::new(asked_name, Problem::ScriptDepth));
        }
        let interpreter = lookup(&script.interpreter).map_err(|errno| {
            let path = String::from_utf8_lossy(&script.interpreter).into_owned();
            LoadError::new(
                program.name(),
                Problem::ScriptInterpreterMissing { path, errno },
            )
        })?;
        // The caller's argv[0] gives way to: interpreter, argument, script.
        let tail = [
            Some(script.interpreter.clone()),
            script.argument,
            Some(path),
        ];
        argv.splice(0..1, tail.into_iter().flatten());
        path = script.interpreter;
        program = interpreter;
    }
    check_arguments(&argv, &envp, &execfn, stack_limit)
        .map_err(|problem| LoadError::new(asked_name, problem))?;

    // In the kernel's order: what is wrong with the interpreter's headers is
    // found before what is wrong with the program's segments.
    let outline = Outline::read(&program)?;
    let interpreter = match &outline.interpreter {
        None => None,
        Some(path) => Some(open_interpreter(&outline, path, lookup)?),
    };
    let program = outline.into_image(task_size)?;
    let interpreter = interpreter
        .map(|interpreter| interpreter.into_image(task_size).map_err(bad_interpreter))
        .transpose()?;
    Ok(Prepared {
        program,
        interpreter,
        argv,
        envp,
        execfn,
        stack_limit,
    })
}

fn read_script(program: &dyn ExecFile) -> Result<Option<script::Script>, LoadError> {
    let fail = |problem| LoadError::new(program.name(), problem);
    let mut head = [0; script::HEAD_LEN];
    let len = match file::read_full(program, &mut head, 0) {
        Ok(Ok(())) => head.len(),
        Ok(Err(len)) => usize::try_from(len).unwrap_or(0),
        Err(errno) => {
            return Err(fail(Problem::Read {
                what: "first bytes",
                errno,
            }));
        }
    };
    let head = head.get(..len).unwrap_or(&head);
    if !script::is_script(head) {
        return Ok(None);
    }
    match script::parse(head) {
        Some(script) => Ok(Some(script)),
        None => Err(fail(Problem::BadScript)),
    }
}

fn open_interpreter(
    program: &Outline,
    path: &[u8],
    lookup: Lookup<'_>,
) -> Result<Outline, LoadError> {
    let file = lookup(path).map_err(|errno| {
        let path = String::from_utf8_lossy(path).into_owned();
        LoadError::new(
            program.file_name(),
            Problem::InterpreterMissing { path, errno },
        )
    })?;
    // The kernel reads a whole header before it looks at any of it.
    if file.len() < HEADER_LEN {
        let problem = Problem::Truncated {
            what: "ELF header",
            need: HEADER_LEN,
            have: file.len(),
        };
        return Err(bad_interpreter(LoadError::new(file.name(), problem)));
    }
    Outline::read(&file).map_err(bad_interpreter)
}

fn bad_interpreter(error: LoadError) -> LoadError {
    LoadError::new(error.file, Problem::BadInterpreter(error.problem.into()))
}

fn check_arguments(
    argv: &[Vec<u8>],
    envp: &[Vec<u8>],
    execfn: &[u8],
    stack_limit: u64,
) -> Result<(), Problem> {
    let limit = argument_limit(stack_limit);
    let mut used: u64 = 0;
    for text in argv.iter().chain(envp) {
        let len = (text.len() as u64).saturating_add(1);
        if len > MAX_ARG_STRLEN {
            return Err(Problem::ArgumentTooLong { len });
        }
        // The string, and its place in the vector.
        used = used.saturating_add(len).saturating_add(8);
    }
    used = used.saturating_add(execfn.len() as u64 + 1);
    if used > limit {
        return Err(Problem::ArgumentsTooBig { limit });
    }
    Ok(())
}
