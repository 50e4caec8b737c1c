//! One method per instruction, and the call of the right one.

use crate::Insn;
use crate::table::Op;

macro_rules! define {
    (
        base { $( $extension:ident { $( $method:ident $op:ident $format:ident $mask:literal $bits:literal; )* } )* }
        compressed $compressed:tt
    ) => {
        /// What an engine does with each instruction. A row added to the table
        /// is a method that every engine must write before it compiles.
        pub trait Execute {
            type Output;
            $( $( fn $method(&mut self, insn: Insn) -> Self::Output; )* )*
        }

        /// Calls the method of `insn.op`.
        #[inline]
        pub fn dispatch<E: Execute + ?Sized>(insn: Insn, engine: &mut E) -> E::Output {
            match insn.op {
                $( $( Op::$op => engine.$method(insn), )* )*
            }
        }
    };
}

crate::for_each_insn!(define);
