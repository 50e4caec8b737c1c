//! /sys: present, and empty but for what programs look for first.

use crate::NodeRef;
use crate::pseudo::PseudoDir;
use rivix_abi::stat::makedev;
use rivix_abi::statfs::SYSFS_MAGIC;

pub(crate) fn new_root() -> NodeRef {
    let dev = makedev(0, 22);
    let empty = || PseudoDir::node(dev, SYSFS_MAGIC, Vec::new());
    PseudoDir::node(
        dev,
        SYSFS_MAGIC,
        vec![
            ("class", empty()),
            ("devices", empty()),
            ("fs", empty()),
            ("kernel", empty()),
        ],
    )
}
