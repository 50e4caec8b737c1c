use super::*;
use crate::signal::SignalActions;
use rivix_abi::resource::{Resource, Rlimit};

const MANY: usize = 1 << 20;

fn group(pid: i32) -> Arc<ThreadGroup> {
    let limits = [Rlimit::UNLIMITED; Resource::COUNT];
    Arc::new(ThreadGroup::new(
        pid,
        Arc::new(SignalActions::default()),
        limits,
        0,
    ))
}

/// An empty table in which init's number is taken for good.
fn table(max: i32) -> Pids {
    let pids = Pids::with_max(max);
    std::mem::forget(pids.reserve_kernel().unwrap());
    pids
}

/// A process in a session of its own, or where `beside` is.
fn add(pids: &mut Pids, beside: Option<i32>) -> i32 {
    let promised = pids.reserve(MANY).unwrap();
    let id = promised.id();
    let own = Membership {
        group: id.clone(),
        session: id.clone(),
    };
    let member = match beside {
        Some(other) => pids.processes[&other].member(),
        None => Some(own),
    };
    let process = Process::new(id.clone(), group(id.number()), member);
    pids.insert_process(process);
    id.number()
}

fn reap(pids: &mut Pids, pid: i32) {
    pids.processes.get_mut(&pid).unwrap().zombie = Some(ExitStatus::Code(0));
    assert!(pids.reap(pid).is_some());
}

fn next(pids: &mut Pids) -> i32 {
    pids.reserve(MANY).unwrap().number()
}

#[test]
fn a_zombies_number_is_not_reused_while_others_churn() {
    let mut pids = table(1000);
    let zombie = add(&mut pids, None);
    pids.processes.get_mut(&zombie).unwrap().zombie = Some(ExitStatus::Code(7));
    let mut rounds = 0;
    let mut last = zombie;
    for _ in 0..100_000 {
        let pid = add(&mut pids, None);
        assert_ne!(pid, zombie);
        rounds += usize::from(pid < last);
        last = pid;
        reap(&mut pids, pid);
    }
    // The numbers went round again and again.
    assert_eq!(rounds, (100_000 - 998) / 700 + 1);
    assert_eq!(pids.processes[&zombie].zombie, Some(ExitStatus::Code(7)));
    assert_eq!((pids.processes.len(), pids.groups.len()), (1, 1));

    reap(&mut pids, zombie);
    assert_eq!(pids.ids.used(), 1, "init's number alone is in use");
}

#[test]
fn numbers_go_round_above_those_left_to_early_processes() {
    let mut pids = table(310);
    assert_eq!(next(&mut pids), 2);
    for number in 3..310 {
        assert_eq!(next(&mut pids), number);
        assert_eq!(pids.last(), number);
    }
    assert_eq!(next(&mut pids), 300);
    assert_eq!(next(&mut pids), 301);
}

#[test]
fn a_group_keeps_its_leaders_number() {
    let mut pids = table(320);
    let leader = add(&mut pids, None);
    let member = add(&mut pids, Some(leader));
    reap(&mut pids, leader);
    assert_eq!(pids.processes[&member].pgid(), leader);
    assert_eq!(
        pids.members(leader).map(|(pid, _)| pid).collect::<Vec<_>>(),
        [member]
    );
    assert!(pids.sessions.contains_key(&leader));

    // The member founds a group: the session still has the number.
    pids.join_group(member, member).unwrap();
    assert_eq!(pids.members(leader).count(), 0);
    let used = pids.ids.used();
    pids.begin_session(member).unwrap_err();
    assert_eq!(pids.processes[&member].sid(), leader);

    // Init, the leader's number, the member.
    assert_eq!(used, 3);
    reap(&mut pids, member);
    assert_eq!(pids.ids.used(), 1);
    assert!(pids.sessions.is_empty() && pids.groups.is_empty());
}

#[test]
fn a_session_keeps_its_leaders_number_until_the_last_leaves() {
    let mut pids = table(320);
    let leader = add(&mut pids, None);
    let child = add(&mut pids, Some(leader));
    let grandchild = add(&mut pids, Some(child));
    reap(&mut pids, leader);
    pids.begin_session(child).unwrap();
    let places = |pids: &Pids, pid| (pids.processes[&pid].pgid(), pids.processes[&pid].sid());
    assert_eq!(places(&pids, child), (child, child));
    assert_eq!(places(&pids, grandchild), (leader, leader));
    assert_eq!(pids.ids.used(), 4);
    pids.begin_session(grandchild).unwrap();
    assert_eq!(pids.ids.used(), 3);
    assert_eq!(
        pids.sessions.keys().copied().collect::<Vec<_>>(),
        [child, grandchild]
    );
    // A group leader founds no session.
    assert_eq!(pids.begin_session(child).unwrap_err(), Errno::EPERM);
}

#[test]
fn groups_are_joined_within_a_session_only() {
    let mut pids = table(320);
    let one = add(&mut pids, None);
    let two = add(&mut pids, None);
    let child = add(&mut pids, Some(one));
    assert_eq!(pids.join_group(child, two).unwrap_err(), Errno::EPERM);
    assert_eq!(pids.join_group(child, 0).unwrap_err(), Errno::EPERM);
    assert_eq!(pids.join_group(child, 319).unwrap_err(), Errno::EPERM);
    assert_eq!(pids.join_group(319, 319).unwrap_err(), Errno::ESRCH);
    pids.join_group(child, child).unwrap();
    let sibling = add(&mut pids, Some(one));
    pids.join_group(sibling, child).unwrap();
    reap(&mut pids, child);
    assert_eq!(pids.processes[&sibling].pgid(), child);
    pids.join_group(sibling, one).unwrap();
    assert_eq!(pids.members(one).count(), 2);
    assert_eq!(pids.ids.used(), 4);
}

#[test]
fn the_limit_counts_promises() {
    let mut pids = table(320);
    add(&mut pids, None);
    let first = pids.reserve(3).unwrap();
    let second = pids.reserve(3).unwrap();
    assert_eq!(pids.reserve(3).err(), Some(Errno::EAGAIN));
    drop(first);
    let third = pids.reserve(3).unwrap();
    assert_ne!(third.number(), second.number());
    pids.is_closed = true;
    assert_eq!(pids.reserve(MANY).err(), Some(Errno::EAGAIN));
}

#[test]
fn no_number_left_is_eagain() {
    let mut pids = table(320);
    let held: Vec<_> = (2..320).map(|_| pids.reserve(MANY).unwrap()).collect();
    assert_eq!(pids.reserve(MANY).err(), Some(Errno::EAGAIN));
    assert_eq!(pids.reserve_kernel().err(), Some(Errno::EAGAIN));
    drop(held);
    assert_eq!(next(&mut pids), 300);
}

#[test]
fn joining_ones_own_group_changes_nothing() {
    let mut pids = table(1000);
    let leader = add(&mut pids, None);
    let member = add(&mut pids, Some(leader));
    for _ in 0..3 {
        pids.join_group(member, member).unwrap();
        assert_eq!(pids.members(member).count(), 1);
        assert_eq!(pids.sessions[&leader].members, 2);
        assert!(!pids.groups.is_empty());
    }
    pids.join_group(member, leader).unwrap();
    pids.join_group(member, leader).unwrap();
    assert_eq!(pids.members(leader).count(), 2);
    assert_eq!(pids.members(member).count(), 0);
}
