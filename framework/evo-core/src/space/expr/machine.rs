//! Evaluation of checked expressions: once, or for one parameter after another value.

use super::code::{Code, Node, NodeId, Scalar, Tables, Trouble, binary, compare, to_float, unary};

/// Why an evaluation stopped early: small, because it is returned from every node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::space) enum Halt {
    /// It asked for a parameter that is inactive.
    Inactive,
    /// Arithmetic failed at the node.
    Trouble(Trouble, NodeId),
}

type Answer = Result<Scalar, Halt>;

/// What asks the nodes of an expression for their values.
pub(super) trait Evaluate {
    fn machine(&self) -> &Machine<'_>;

    /// The value of a node.
    fn value(&mut self, id: NodeId) -> Answer;

    fn truth(&mut self, id: NodeId) -> Result<bool, Halt> {
        Ok(self.value(id)? == Scalar::Bool(true))
    }

    /// Computes a node from the values of its operands, of which only those that matter are asked
    /// for.
    fn compute(&mut self, id: NodeId) -> Answer {
        let at = |trouble| Halt::Trouble(trouble, id);
        match self.machine().code.nodes[id as usize] {
            Node::Const(value) => Ok(value),
            Node::Param(param) => self.machine().param(param),
            Node::ToFloat(a) => Ok(to_float(self.value(a)?)),
            Node::Unary(function, a) => unary(function, self.value(a)?).map_err(at),
            Node::Binary(function, a, b) => {
                binary(function, self.value(a)?, self.value(b)?).map_err(at)
            }
            Node::Compare(op, a, b) => {
                Ok(Scalar::Bool(compare(op, self.value(a)?, self.value(b)?)))
            }
            Node::And(a, b) => match self.truth(a)? {
                true => self.value(b),
                false => Ok(Scalar::Bool(false)),
            },
            Node::Or(a, b) => match self.truth(a)? {
                true => Ok(Scalar::Bool(true)),
                false => self.value(b),
            },
            Node::Implies(a, b) => match self.truth(a)? {
                true => self.value(b),
                false => Ok(Scalar::Bool(true)),
            },
            Node::If(condition, yes, no) => {
                let branch = if self.truth(condition)? { yes } else { no };
                self.value(branch)
            }
        }
    }
}

/// One evaluation.
pub(super) struct Machine<'a> {
    code: &'a Code,
    choices: &'a [Option<u32>],
    tables: &'a Tables,
}

impl<'a> Machine<'a> {
    pub(super) fn new(code: &'a Code, choices: &'a [Option<u32>], tables: &'a Tables) -> Self {
        Self {
            code,
            choices,
            tables,
        }
    }

    fn param(&self, param: u32) -> Answer {
        let choice = self.choices[param as usize].ok_or(Halt::Inactive)?;
        Ok(self.tables[param as usize][choice as usize])
    }
}

impl Evaluate for Machine<'_> {
    fn machine(&self) -> &Machine<'_> {
        self
    }

    fn value(&mut self, id: NodeId) -> Answer {
        self.compute(id)
    }
}

/// Which nodes of an expression are worth keeping while only one parameter changes: those that
/// compute something and do not depend on it.
#[derive(Debug, Clone)]
pub(in crate::space) struct Kept(Box<[bool]>);

impl Kept {
    pub(in crate::space) fn new(code: &Code, param: usize) -> Self {
        // Operands mostly come before what uses them, so that few rounds spread every mark.
        let mut varies = vec![false; code.nodes.len()];
        loop {
            let before = varies.clone();
            for (place, node) in code.nodes.iter().enumerate() {
                let own = matches!(node, Node::Param(other) if *other as usize == param);
                varies[place] = own || node.operands().any(|id| varies[id as usize]);
            }
            if varies == before {
                break;
            }
        }
        let computes = |node: &Node| !matches!(node, Node::Const(_) | Node::Param(_));
        let nodes = code.nodes.iter().zip(&varies);
        Self(
            nodes
                .map(|(node, varies)| computes(node) && !varies)
                .collect(),
        )
    }
}

/// The values of kept nodes, of one expression under one set of choices at a time.
#[derive(Debug, Default)]
pub(in crate::space) struct Scratch {
    round: u64,
    slots: Vec<(u64, Answer)>,
}

impl Scratch {
    /// Forgets everything, for an expression of some nodes.
    pub(in crate::space) fn clear(&mut self, code: &Code) {
        self.round += 1;
        if self.slots.len() < code.nodes.len() {
            self.slots
                .resize(code.nodes.len(), (0, Err(Halt::Inactive)));
        }
    }
}

/// An evaluation that keeps what does not depend on the one parameter that changes between it and
/// the next one.
pub(super) struct Keeping<'a> {
    pub(super) machine: Machine<'a>,
    pub(super) kept: &'a Kept,
    pub(super) scratch: &'a mut Scratch,
}

impl Evaluate for Keeping<'_> {
    fn machine(&self) -> &Machine<'_> {
        &self.machine
    }

    fn value(&mut self, id: NodeId) -> Answer {
        let place = id as usize;
        if !self.kept.0[place] {
            return self.compute(id);
        }
        let round = self.scratch.round;
        if let Some((known, answer)) = self.scratch.slots.get(place)
            && *known == round
        {
            return *answer;
        }
        let answer = self.compute(id);
        if let Some(slot) = self.scratch.slots.get_mut(place) {
            *slot = (round, answer);
        }
        answer
    }
}

impl Code {
    /// Whether the expression, as a constraint, allows the choices. Between two calls with one
    /// scratch, only the parameter that `kept` was made for may change, or the scratch is cleared.
    pub(in crate::space) fn allows_keeping(
        &self,
        choices: &[Option<u32>],
        tables: &Tables,
        kept: &Kept,
        scratch: &mut Scratch,
    ) -> bool {
        let mut keeping = Keeping {
            machine: Machine::new(self, choices, tables),
            kept,
            scratch,
        };
        matches!(
            keeping.value(self.root),
            Ok(Scalar::Bool(true)) | Err(Halt::Inactive)
        )
    }
}
