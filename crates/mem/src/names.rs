//! Names that a program gives its anonymous mappings (PR_SET_VMA_ANON_NAME), as
//! /proc/self/maps shows them.

use crate::space::AddressSpace;
use crate::vma::Origin;
use rivix_abi::{Errno, UserAddress, page_ceil};
use std::sync::Arc;

/// What shared anonymous memory is called in the list of mappings.
const SHARED_ANONYMOUS: &[u8] = b"/dev/zero (deleted)";

impl AddressSpace {
    /// Names what is mapped in the range; None takes names away.
    ///
    /// # Errors
    /// EINVAL: the address is not page-aligned, or the range wraps. EBADF: a file is
    /// mapped there. ENOMEM: there are holes; what is around them is named.
    pub fn name_mappings(
        &self,
        addr: UserAddress,
        len: u64,
        name: Option<Arc<[u8]>>,
    ) -> Result<(), Errno> {
        if !addr.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        let rounded = page_ceil(len).ok_or(Errno::EINVAL)?;
        let end = addr.0.checked_add(rounded).ok_or(Errno::EINVAL)?;
        let range = addr.0..end;
        if range.is_empty() {
            return Ok(());
        }
        let mut state = self.write_state();
        let parts: Vec<_> = state
            .tree
            .clipped(&range)
            .map(|(part, _, vma)| {
                let is_anonymous = match &vma.origin {
                    Origin::Anonymous { .. } => true,
                    Origin::File { source, .. } => source.path() == SHARED_ANONYMOUS,
                };
                (part, is_anonymous)
            })
            .collect();
        let mut reached = range.start;
        let mut result = Ok(());
        for (part, is_anonymous) in parts {
            if part.start != reached {
                result = Err(Errno::ENOMEM);
            }
            if !is_anonymous {
                state.settle();
                return Err(Errno::EBADF);
            }
            reached = part.end;
            if let Err(errno) = state.prepare(&part) {
                state.settle();
                return Err(errno);
            }
            let label = name.clone();
            state.tree.update(&part, |vma| vma.label = label.clone());
        }
        state.settle();
        if reached < range.end {
            result = Err(Errno::ENOMEM);
        }
        result
    }

    /// PR_SET_MDWE: from now on nothing is mapped that can be written and executed,
    /// and nothing gains execution.
    pub fn refuse_exec_gain(&self) {
        self.write_state().refuses_exec_gain = true;
    }
}
