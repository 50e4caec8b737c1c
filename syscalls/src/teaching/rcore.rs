//! The calls of the rCore tutorial's kernel. Where its numbers stop, at spawn and
//! the detection of deadlocks, those of its exercises are taken.

use super::{calls, files, memory, process, sync, threads};

calls! {
    24 dup files::dup;
    56 open files::open_rcore;
    57 close files::close;
    59 pipe files::pipe;
    63 read files::read;
    64 write files::write;
    93 exit process::exit;
    101 sleep threads::sleep;
    124 yield threads::sched_yield;
    129 kill process::kill_rcore;
    140 set_priority threads::set_priority;
    169 get_time process::get_time;
    172 getpid process::getpid;
    214 sbrk memory::sbrk;
    215 munmap memory::munmap;
    220 fork process::fork;
    221 exec process::exec;
    222 mmap memory::mmap;
    260 waitpid process::waitpid_rcore;
    400 spawn process::spawn;
    469 enable_deadlock_detect sync::enable_deadlock_detect;
    1000 thread_create threads::create;
    1001 gettid threads::gettid;
    1002 waittid threads::waittid;
    1010 mutex_create sync::mutex_create;
    1011 mutex_lock sync::mutex_lock;
    1012 mutex_unlock sync::mutex_unlock;
    1020 semaphore_create sync::semaphore_create;
    1021 semaphore_up sync::semaphore_up;
    1022 semaphore_down sync::semaphore_down;
    1030 condvar_create sync::condvar_create;
    1031 condvar_signal sync::condvar_signal;
    1032 condvar_wait sync::condvar_wait;
}
