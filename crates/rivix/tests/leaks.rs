//! A thousand sandboxes come and go, some with guests still running, and leave
//! nothing. A program of its own, since it counts what the process holds.

mod common;

use common::{Held, printer, reader, spinner};
use rivix::{Sandbox, Stdio};

const CYCLES: usize = 1000;

#[test]
fn a_thousand_sandboxes_leave_threads_descriptors_and_mappings_as_before() {
    let (print, spin, read) = (printer("x", 0), spinner(), reader());
    let cycle = |turn: usize| {
        let sandbox = Sandbox::builder().build().unwrap();
        let output = sandbox
            .command_from_image("p", print.clone())
            .output()
            .unwrap();
        assert_eq!(output.stdout, b"x");
        match turn % 10 {
            3 => drop(
                sandbox
                    .command_from_image("s", spin.clone())
                    .spawn()
                    .unwrap(),
            ),
            5 => {
                // Driven by the sandbox's own thread, one of them for ever.
                let command = sandbox.command_from_image("p", print.clone());
                let output = sandbox.drive(command.output_async()).unwrap();
                assert_eq!(output.wait().unwrap().unwrap().stdout, b"x");
                let command = sandbox.command_from_image("r", read.clone());
                let child = command.stdin(Stdio::piped()).spawn().unwrap();
                let endless = async move { child.join_async().await };
                drop(sandbox.drive(endless).unwrap());
            }
            7 => {
                let command = sandbox.command_from_image("r", read.clone());
                // The child outlives its sandbox.
                let child = command.stdin(Stdio::piped()).spawn().unwrap();
                drop(sandbox);
                assert!(child.try_wait().is_some());
            }
            _ => {}
        }
    };
    // What is made once in the life of the process is made here.
    (0..20).for_each(cycle);
    let before = Held::now();
    (0..CYCLES).for_each(cycle);
    let after = Held::now();
    assert_eq!((after.threads, after.fds), (before.threads, before.fds));
    // The host allocator may keep some; a leak would be thousands.
    assert!(
        after.mappings <= before.mappings + 20,
        "{before:?} {after:?}"
    );
}
