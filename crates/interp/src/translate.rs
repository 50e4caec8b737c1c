//! From guest code to slots.

use crate::exec::float::Fp;
use crate::exec::fuse::{self, End, Kind};
use crate::exec::step::{Imm, Reg};
use crate::exec::{alu, amo, branch, float, memory, step, system};
use crate::slot::{Args, Handler, SINK, Slot};
use crate::state::variant;
use rivix_engine::{Access, FaultKind, Trap};
use rivix_isa::{Csr, Format, Insn, Op};

/// Instructions in one block at most.
const MAX_BLOCK: usize = 128;

/// Code is read in pieces of so many bytes.
const PIECE: usize = 128;

/// A block being made.
pub(crate) struct Draft {
    pub(crate) pc: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) pcs: Vec<(u32, u64)>,
    pub(crate) source: Vec<(u64, Box<[u8]>)>,
    pub(crate) links: Vec<u32>,
    /// It ends where code could not be read on.
    pub(crate) is_cut_short: bool,
}

/// Copies code from an address on, as far as there is any; the number of bytes.
pub(crate) type Fetch<'a> = &'a dyn Fn(u64, &mut [u8]) -> usize;

/// Whether the host has FMA3.
pub(crate) fn has_fma() -> bool {
    std::arch::is_x86_feature_detected!("fma")
}

/// Translates the block at `pc`. The error is what executing there does at once.
pub(crate) fn block(fetch: Fetch<'_>, pc: u64, variant: u8) -> Result<Draft, Trap> {
    let mut reader = Reader {
        fetch,
        start: pc,
        bytes: Vec::new(),
    };
    let mut maker = Maker {
        draft: Draft {
            pc,
            slots: Vec::with_capacity(64),
            pcs: Vec::with_capacity(32),
            source: Vec::new(),
            links: Vec::new(),
            is_cut_short: false,
        },
        variant,
        parts: Vec::with_capacity(32),
    };
    if variant & variant::FUEL != 0 {
        maker.push(branch::fuel, Args::default());
    }
    let mut at = pc;
    let mut count = 0;
    loop {
        let word = match reader.word(at) {
            Ok(word) => word,
            // Reported when execution gets there.
            Err(_) if count > 0 => {
                maker.draft.is_cut_short = true;
                maker.cut(at);
                break;
            }
            Err(addr) => {
                let (access, kind) = (Access::Fetch, FaultKind::Segv);
                return Err(Trap::MemoryFault { addr, access, kind });
            }
        };
        maker.begin(at);
        count += 1;
        let Some(insn) = rivix_isa::decode(word) else {
            let word = if word & 3 == 3 { word } else { word & 0xffff };
            maker.illegal(word);
            at = at.wrapping_add(if word & 3 == 3 { 4 } else { 2 });
            break;
        };
        let next = at.wrapping_add(u64::from(insn.len));
        let insn = maker.ordered(insn);
        maker.note(&insn);
        let flow = maker.instruction(&insn, at, next);
        at = next;
        if flow == Flow::Ends {
            break;
        }
        if count == MAX_BLOCK {
            maker.cut(at);
            break;
        }
    }
    if !crate::exec::LOOP_DRIVER || cfg!(feature = "loop-driver") {
        maker.fuse();
    }
    let mut draft = maker.draft;
    if variant & variant::FUEL != 0 {
        draft.slots[0].args.imm = count as i32;
    }
    draft.source.push((pc, reader.into_source(at)));
    Ok(draft)
}

/// Reads code forward from `start`.
struct Reader<'a> {
    fetch: Fetch<'a>,
    start: u64,
    bytes: Vec<u8>,
}

impl Reader<'_> {
    /// The 32 bits at `at`, or the 16 of a compressed instruction; the error is
    /// the address that could not be fetched.
    fn word(&mut self, at: u64) -> Result<u32, u64> {
        let low = self.half(at)?;
        if rivix_isa::length(low) == 2 {
            return Ok(low.into());
        }
        let high = self.half(at.wrapping_add(2))?;
        Ok(u32::from(high) << 16 | u32::from(low))
    }

    fn half(&mut self, at: u64) -> Result<u16, u64> {
        let offset = at.wrapping_sub(self.start) as usize;
        if self.bytes.len() < offset + 2 {
            let have = self.bytes.len();
            let from = self.start.wrapping_add(have as u64);
            self.bytes.resize(have + PIECE, 0);
            let got = (self.fetch)(from, &mut self.bytes[have..]);
            self.bytes.truncate(have + got.min(PIECE));
        }
        match self.bytes.get(offset..offset + 2) {
            Some(half) => Ok(u16::from_le_bytes([half[0], half[1]])),
            None => Err(at),
        }
    }

    /// The code from `start` to `end`.
    fn into_source(mut self, end: u64) -> Box<[u8]> {
        self.bytes.truncate(end.wrapping_sub(self.start) as usize);
        self.bytes.into_boxed_slice()
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    Continues,
    Ends,
}

struct Maker {
    draft: Draft,
    variant: u8,
    /// What may be fused, in order.
    parts: Vec<Part>,
}

/// A slot that can be the first or second of a fused pair.
#[derive(Clone, Copy)]
struct Part {
    slot: u32,
    role: Role,
    /// The x register written; 0 for none.
    rd: u8,
    rs1: u8,
}

#[derive(Clone, Copy)]
enum Role {
    Step(Kind),
    End(End),
}

impl Maker {
    fn begin(&mut self, pc: u64) {
        self.draft.pcs.push((self.draft.slots.len() as u32, pc));
    }

    fn push(&mut self, handler: Handler, args: Args) {
        self.draft.slots.push(Slot::new(handler, args));
    }

    fn link(&mut self, pc: u64) {
        self.draft.links.push(self.draft.slots.len() as u32);
        self.draft.slots.push(Slot::link(pc));
    }

    /// Ends the block before `pc`.
    fn cut(&mut self, pc: u64) {
        self.push(branch::goto::<branch::Forward>, Args::default());
        self.link(pc);
    }

    /// With the operands of a commutative operation in the order that lets the
    /// first be the result of the step before.
    fn ordered(&self, mut insn: Insn) -> Insn {
        use Op::*;
        let commutes = matches!(
            insn.op,
            Add | And | Or | Xor | Addw | Mul | Mulw | Beq | Bne
        );
        let last = self.parts.last().map_or(0, |p| p.rd);
        if commutes && last != 0 && insn.rs2 == last && insn.rs1 != 0 {
            std::mem::swap(&mut insn.rs1, &mut insn.rs2);
        }
        insn
    }

    /// Records an instruction about to be translated, if it may be fused.
    fn note(&mut self, insn: &Insn) {
        let slot = self.draft.slots.len() as u32;
        let back = insn.imm <= 0;
        if let Some(kind) = kind_of(insn, self.variant) {
            let writes_x = !matches!(
                insn.format(),
                Format::Store | Format::FStore | Format::FLoad | Format::F3Rm | Format::F4
            );
            let rd = if writes_x { insn.rd } else { 0 };
            let rs1 = if insn.op == Op::Add && insn.rs1 == 0 {
                insn.rs2
            } else {
                insn.rs1
            };
            // One without effect has no slot.
            if !writes_x || rd != 0 || insn.format() == Format::Load {
                self.parts.push(Part {
                    slot,
                    role: Role::Step(kind),
                    rd,
                    rs1,
                });
            }
        } else if let Some(end) = end_of(insn, back) {
            self.parts.push(Part {
                slot,
                role: Role::End(end),
                rd: 0,
                rs1: insn.rs1,
            });
        }
    }

    /// Gives the first slot of each pair that has one the handler of both.
    fn fuse(&mut self) {
        let mut rest = &self.parts[..];
        while let [a, b, ..] = rest {
            let fused = match (a.role, b.role) {
                _ if a.slot + 1 != b.slot => None,
                (Role::End(_), _) => None,
                (Role::Step(ka), Role::Step(kb)) => {
                    Some(fuse::steps(ka, kb, a.rd != 0 && a.rd == b.rs1))
                }
                (Role::Step(ka), Role::End(end)) => {
                    Some(fuse::end(ka, end, a.rd != 0 && a.rd == b.rs1))
                }
            };
            rest = match fused {
                Some(handler) => {
                    self.draft.slots[a.slot as usize].set_handler(handler);
                    &rest[2..]
                }
                None => &rest[1..],
            };
        }
    }

    fn illegal(&mut self, word: u32) {
        self.push(
            system::illegal,
            Args {
                imm: word as i32,
                ..Args::default()
            },
        );
    }

    fn instruction(&mut self, insn: &Insn, pc: u64, next: u64) -> Flow {
        use Op::*;
        let rd = if insn.rd == 0 { SINK } else { insn.rd };
        let args = Args {
            rd,
            rs1: insn.rs1,
            rs2: insn.rs2,
            aux: insn.rs3,
            imm: insn.imm,
        };
        let target = pc.wrapping_add(insn.imm as i64 as u64);

        macro_rules! reg {
            ($alu:ident) => {
                self.alu(insn, step::one::<Reg<alu::$alu>>, args)
            };
        }
        macro_rules! imm {
            ($alu:ident) => {
                self.alu(insn, step::one::<Imm<alu::$alu>>, args)
            };
        }
        macro_rules! branch {
            ($cond:ident) => {
                self.branch(
                    branch::branch::<branch::$cond, branch::Forward>,
                    branch::branch::<branch::$cond, branch::Back>,
                    args,
                    (pc, target, next),
                )
            };
        }
        macro_rules! amo {
            ($amo:ident, $width:ident) => {
                self.push(amo::amo::<amo::$amo, amo::$width>, args)
            };
        }
        macro_rules! exact {
            ($float:ident) => {
                self.push(step::one::<Fp<float::$float>>, self.float_args(insn))
            };
        }
        macro_rules! rounded {
            ($float:ident) => {
                self.rounded(insn, step::one::<Fp<float::$float>>, None)
            };
            ($float:ident, $rtz:ident) => {
                self.rounded(
                    insn,
                    step::one::<Fp<float::$float>>,
                    Some(step::one::<Fp<float::$rtz>>),
                )
            };
        }

        match insn.op {
            Lui => self.constant(insn.rd, i64::from(insn.imm)),
            Auipc => self.constant(insn.rd, target as i64),
            Jal => {
                let back = target <= pc;
                if insn.rd == 0 {
                    let (f, b): (Handler, Handler) = (
                        branch::goto::<branch::Forward>,
                        branch::goto::<branch::Back>,
                    );
                    self.push(if back { b } else { f }, Args::default());
                } else {
                    let (f, b): (Handler, Handler) = (
                        branch::call::<branch::Forward>,
                        branch::call::<branch::Back>,
                    );
                    self.push(if back { b } else { f }, Args::wide(insn.rd, next as i64));
                }
                self.link(target);
                return Flow::Ends;
            }
            Jalr => {
                if insn.rd == 0 {
                    self.push(branch::jump_reg, args);
                } else {
                    self.push(branch::call_reg, args);
                    // Never run: it holds the return address.
                    self.push(alu::nop, Args::wide(0, next as i64));
                }
                return Flow::Ends;
            }
            Beq => return branch!(Eq),
            Bne => return branch!(Ne),
            Blt => return branch!(Lt),
            Bge => return branch!(Ge),
            Bltu => return branch!(Ltu),
            Bgeu => return branch!(Geu),
            Lb => self.push(step::one::<memory::Lb>, args),
            Lh => self.push(step::one::<memory::Lh>, args),
            Lw => self.push(step::one::<memory::Lw>, args),
            Ld => self.push(step::one::<memory::Ld>, args),
            Lbu => self.push(step::one::<memory::Lbu>, args),
            Lhu => self.push(step::one::<memory::Lhu>, args),
            Lwu => self.push(step::one::<memory::Lwu>, args),
            Sb => self.push(step::one::<memory::Sb>, args),
            Sh => self.push(step::one::<memory::Sh>, args),
            Sw => self.push(step::one::<memory::Sw>, args),
            Sd => self.push(step::one::<memory::Sd>, args),
            Addi if insn.rs1 == 0 => self.constant(insn.rd, insn.imm.into()),
            Addi if insn.imm == 0 => self.alu(insn, step::one::<step::Move>, args),
            Addi => imm!(Add),
            Slti => imm!(Slt),
            Sltiu => imm!(Sltu),
            Xori => imm!(Xor),
            Ori => imm!(Or),
            Andi => imm!(And),
            Slli => imm!(Sll),
            Srli => imm!(Srl),
            Srai => imm!(Sra),
            Add if insn.rs1 == 0 => {
                self.alu(
                    insn,
                    step::one::<step::Move>,
                    Args {
                        rs1: insn.rs2,
                        ..args
                    },
                );
            }
            Add if insn.rs2 == 0 => self.alu(insn, step::one::<step::Move>, args),
            Add => reg!(Add),
            Sub => reg!(Sub),
            Sll => reg!(Sll),
            Slt => reg!(Slt),
            Sltu => reg!(Sltu),
            Xor => reg!(Xor),
            Srl => reg!(Srl),
            Sra => reg!(Sra),
            Or => reg!(Or),
            And => reg!(And),
            Addiw => imm!(Addw),
            Slliw => imm!(Sllw),
            Srliw => imm!(Srlw),
            Sraiw => imm!(Sraw),
            Addw => reg!(Addw),
            Subw => reg!(Subw),
            Sllw => reg!(Sllw),
            Srlw => reg!(Srlw),
            Sraw => reg!(Sraw),
            Mul => reg!(Mul),
            Mulh => reg!(Mulh),
            Mulhsu => reg!(Mulhsu),
            Mulhu => reg!(Mulhu),
            Div => reg!(Div),
            Divu => reg!(Divu),
            Rem => reg!(Rem),
            Remu => reg!(Remu),
            Mulw => reg!(Mulw),
            Divw => reg!(Divw),
            Divuw => reg!(Divuw),
            Remw => reg!(Remw),
            Remuw => reg!(Remuw),
            Fence => self.fence(insn),
            FenceI => {
                self.push(system::fence_i, Args::default());
                return Flow::Ends;
            }
            Ecall => {
                self.push(system::ecall, Args::wide(0, pc as i64));
                return Flow::Ends;
            }
            Ebreak => {
                self.push(system::ebreak, Args::default());
                return Flow::Ends;
            }
            Csrrw | Csrrs | Csrrc | Csrrwi | Csrrsi | Csrrci => return self.csr(insn, args),
            LrW => self.push(amo::lr::<amo::Word>, args),
            LrD => self.push(amo::lr::<amo::Double>, args),
            ScW => self.push(amo::sc::<amo::Word>, args),
            ScD => self.push(amo::sc::<amo::Double>, args),
            AmoswapW => amo!(Swap, Word),
            AmoaddW => amo!(AddTo, Word),
            AmoxorW => amo!(XorTo, Word),
            AmoandW => amo!(AndTo, Word),
            AmoorW => amo!(OrTo, Word),
            AmominW => amo!(MinTo, Word),
            AmomaxW => amo!(MaxTo, Word),
            AmominuW => amo!(MinuTo, Word),
            AmomaxuW => amo!(MaxuTo, Word),
            AmoswapD => amo!(Swap, Double),
            AmoaddD => amo!(AddTo, Double),
            AmoxorD => amo!(XorTo, Double),
            AmoandD => amo!(AndTo, Double),
            AmoorD => amo!(OrTo, Double),
            AmominD => amo!(MinTo, Double),
            AmomaxD => amo!(MaxTo, Double),
            AmominuD => amo!(MinuTo, Double),
            AmomaxuD => amo!(MaxuTo, Double),
            Flw => self.push(
                step::one::<memory::Flw>,
                Args {
                    rd: insn.rd,
                    ..args
                },
            ),
            Fld => self.push(
                step::one::<memory::Fld>,
                Args {
                    rd: insn.rd,
                    ..args
                },
            ),
            Fsw => self.push(step::one::<memory::Fsw>, args),
            Fsd => self.push(step::one::<memory::Fsd>, args),
            FmaddS => rounded!(MaddS),
            FmsubS => rounded!(MsubS),
            FnmsubS => rounded!(NmsubS),
            FnmaddS => rounded!(NmaddS),
            FmaddD => rounded!(MaddD),
            FmsubD => rounded!(MsubD),
            FnmsubD => rounded!(NmsubD),
            FnmaddD => rounded!(NmaddD),
            FaddS => rounded!(AddS),
            FsubS => rounded!(SubS),
            FmulS => rounded!(MulS),
            FdivS => rounded!(DivS),
            FsqrtS => rounded!(SqrtS),
            FaddD => rounded!(AddD),
            FsubD => rounded!(SubD),
            FmulD => rounded!(MulD),
            FdivD => rounded!(DivD),
            FsqrtD => rounded!(SqrtD),
            FcvtWS => rounded!(CvtWS, CvtWSRtz),
            FcvtWuS => rounded!(CvtWuS, CvtWuSRtz),
            FcvtLS => rounded!(CvtLS, CvtLSRtz),
            FcvtLuS => rounded!(CvtLuS, CvtLuSRtz),
            FcvtWD => rounded!(CvtWD, CvtWDRtz),
            FcvtWuD => rounded!(CvtWuD, CvtWuDRtz),
            FcvtLD => rounded!(CvtLD, CvtLDRtz),
            FcvtLuD => rounded!(CvtLuD, CvtLuDRtz),
            FcvtSW => rounded!(CvtSW),
            FcvtSWu => rounded!(CvtSWu),
            FcvtSL => rounded!(CvtSL),
            FcvtSLu => rounded!(CvtSLu),
            FcvtDL => rounded!(CvtDL),
            FcvtDLu => rounded!(CvtDLu),
            FcvtSD => rounded!(CvtSD),
            // Always exact: the mode matters only when it is reserved.
            FcvtDW => self.unrounded(insn, step::one::<Fp<float::CvtDW>>),
            FcvtDWu => self.unrounded(insn, step::one::<Fp<float::CvtDWu>>),
            FcvtDS => self.unrounded(insn, step::one::<Fp<float::CvtDS>>),
            FsgnjS if insn.rs1 == insn.rs2 => exact!(SgnjS),
            FsgnjS => exact!(SgnjS),
            FsgnjnS => exact!(SgnjnS),
            FsgnjxS => exact!(SgnjxS),
            FminS => exact!(MinS),
            FmaxS => exact!(MaxS),
            FmvXW => exact!(MvXW),
            FeqS => exact!(EqS),
            FltS => exact!(LtS),
            FleS => exact!(LeS),
            FclassS => exact!(ClassS),
            FmvWX => exact!(MvWX),
            FsgnjD => exact!(SgnjD),
            FsgnjnD => exact!(SgnjnD),
            FsgnjxD => exact!(SgnjxD),
            FminD => exact!(MinD),
            FmaxD => exact!(MaxD),
            FeqD => exact!(EqD),
            FltD => exact!(LtD),
            FleD => exact!(LeD),
            FclassD => exact!(ClassD),
            FmvXD => exact!(MvXD),
            FmvDX => exact!(MvDX),
        }
        Flow::Continues
    }

    /// An operation without effects but its result.
    fn alu(&mut self, insn: &Insn, handler: Handler, args: Args) {
        if insn.rd != 0 {
            self.push(handler, args);
        }
    }

    fn constant(&mut self, rd: u8, value: i64) {
        if rd != 0 {
            self.push(step::one::<step::Constant>, Args::wide(rd, value));
        }
    }

    fn branch(
        &mut self,
        forward: Handler,
        back: Handler,
        args: Args,
        (pc, target, next): (u64, u64, u64),
    ) -> Flow {
        self.push(if target <= pc { back } else { forward }, args);
        self.link(target);
        if self.variant & variant::FUEL != 0 {
            // A counting block runs whole.
            self.cut(next);
            return Flow::Ends;
        }
        Flow::Continues
    }

    fn fence(&mut self, insn: &Insn) {
        // Successor reads are bit 1 of the low nibble, predecessor writes bit 0
        // of the next. fence.tso (fm 8) leaves that order out.
        // With other sets fm 8 is reserved, and to be treated as fm 0.
        let is_tso = insn.imm == 0x833;
        if insn.imm & 0b0010 != 0 && insn.imm & 0b0001_0000 != 0 && !is_tso {
            self.push(system::fence, Args::default());
        }
    }

    fn csr(&mut self, insn: &Insn, args: Args) -> Flow {
        let immediate = matches!(insn.op, Op::Csrrwi | Op::Csrrsi | Op::Csrrci);
        let kind = match insn.op {
            Op::Csrrw | Op::Csrrwi => 1,
            _ if insn.rs1 == 0 => 0,
            Op::Csrrs | Op::Csrrsi => 2,
            _ => 3,
        };
        match Csr::from_number(insn.imm as u32) {
            Some(csr) if kind == 0 || !csr.is_read_only() => {
                self.push(
                    system::csr,
                    Args {
                        aux: kind | u8::from(immediate) << 2,
                        ..args
                    },
                );
                Flow::Continues
            }
            _ => {
                self.illegal(insn.raw);
                Flow::Ends
            }
        }
    }

    fn float_args(&self, insn: &Insn) -> Args {
        let to_int = matches!(
            insn.format(),
            Format::FToX | Format::FToXRm | Format::FCompare
        );
        let rd = if to_int && insn.rd == 0 {
            SINK
        } else {
            insn.rd
        };
        Args {
            rd,
            rs1: insn.rs1,
            rs2: insn.rs2,
            aux: insn.rs3,
            imm: 0,
        }
    }

    /// `dynamic` when MXCSR has the mode, `truncating` for a static RTZ.
    fn rounded(&mut self, insn: &Insn, dynamic: Handler, truncating: Option<Handler>) {
        let args = self.float_args(insn);
        let is_odd = self.variant & variant::ODD_ROUNDING != 0;
        let fused_in_software = insn.format() == Format::F4 && !has_fma();
        match (insn.rm, truncating) {
            (1, Some(handler)) => self.push(handler, args),
            (7, _) if !is_odd && !fused_in_software => self.push(dynamic, args),
            _ => self.slow(insn, args),
        }
    }

    fn unrounded(&mut self, insn: &Insn, handler: Handler) {
        let args = self.float_args(insn);
        if insn.rm == 7 && self.variant & variant::ODD_ROUNDING != 0 {
            self.slow(insn, args);
        } else {
            self.push(handler, args);
        }
    }

    fn slow(&mut self, insn: &Insn, args: Args) {
        let operation = insn.op as u8;
        let imm = i32::from(operation) | i32::from(insn.rs3) << 8;
        self.push(
            float::slow,
            Args {
                aux: insn.rm,
                imm,
                ..args
            },
        );
        // Holds the encoding, for when the dynamic mode is reserved.
        self.push(
            alu::nop,
            Args {
                imm: insn.raw as i32,
                ..Args::default()
            },
        );
    }
}

/// The fusable kind of a step.
fn kind_of(insn: &Insn, variant: u8) -> Option<Kind> {
    use Op::*;
    let is_odd = variant & variant::ODD_ROUNDING != 0;
    let rounds = insn.format().has_rounding_mode();
    if rounds && (insn.rm != 7 || is_odd || insn.format() == Format::F4 && !has_fma()) {
        return None;
    }
    Some(match insn.op {
        Lui | Auipc => Kind::Constant,
        Addi if insn.rs1 == 0 => Kind::Constant,
        Addi if insn.imm == 0 => Kind::Move,
        Addi => Kind::Addi,
        Add if insn.rs1 == 0 || insn.rs2 == 0 => Kind::Move,
        Add => Kind::Add,
        Addw => Kind::Addw,
        Addiw => Kind::Addiw,
        Slli => Kind::Slli,
        Srli => Kind::Srli,
        Srai => Kind::Srai,
        Slliw => Kind::Slliw,
        Srliw => Kind::Srliw,
        Sraiw => Kind::Sraiw,
        And => Kind::And,
        Andi => Kind::Andi,
        Or => Kind::Or,
        Xor => Kind::Xor,
        Xori => Kind::Xori,
        Sub => Kind::Sub,
        Subw => Kind::Subw,
        Sltu => Kind::Sltu,
        Sltiu => Kind::Sltiu,
        Slt => Kind::Slt,
        Mul => Kind::Mul,
        Mulw => Kind::Mulw,
        Ld => Kind::Ld,
        Lw => Kind::Lw,
        Lwu => Kind::Lwu,
        Lbu => Kind::Lbu,
        Lh => Kind::Lh,
        Lhu => Kind::Lhu,
        Sd => Kind::Sd,
        Sw => Kind::Sw,
        Sb => Kind::Sb,
        Sh => Kind::Sh,
        Fld => Kind::Fld,
        Fsd => Kind::Fsd,
        FaddD => Kind::FaddD,
        FsubD => Kind::FsubD,
        FmulD => Kind::FmulD,
        FmaddD => Kind::FmaddD,
        FnmsubD => Kind::FnmsubD,
        FltD => Kind::FltD,
        _ => return None,
    })
}

/// The end that an instruction is; `back` says that its offset is not positive.
fn end_of(insn: &Insn, back: bool) -> Option<End> {
    use Op::*;
    Some(match (insn.op, back) {
        (Beq, false) => End::Beq,
        (Bne, false) => End::Bne,
        (Blt, false) => End::Blt,
        (Bge, false) => End::Bge,
        (Bltu, false) => End::Bltu,
        (Bgeu, false) => End::Bgeu,
        (Beq, true) => End::BeqBack,
        (Bne, true) => End::BneBack,
        (Blt, true) => End::BltBack,
        (Bge, true) => End::BgeBack,
        (Bltu, true) => End::BltuBack,
        (Bgeu, true) => End::BgeuBack,
        (Jal, false) if insn.rd == 0 => End::Goto,
        (Jal, true) if insn.rd == 0 => End::GotoBack,
        (Jal, false) => End::Call,
        (Jal, true) => End::CallBack,
        (Jalr, _) if insn.rd == 0 => End::JumpReg,
        (Jalr, _) => End::CallReg,
        _ => return None,
    })
}
