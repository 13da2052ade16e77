//! The physical interrupts that a domain holds.

use std::collections::BTreeMap;

use vpci::{HostError, Message, Pirq};

/// What a PIRQ was allocated for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// This many messages of MSI.
    Msi(u8),
    /// An MSI-X vector, and the host address of the BAR with the table.
    Msix(u16, u64),
}

/// An allocated PIRQ: for MSI, the first of a sequence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allocated {
    /// What for.
    pub purpose: Purpose,
    /// What it delivers, if it is bound.
    pub bound: Option<Message>,
    /// Bit n: the n-th vector is masked.
    pub masked: u32,
}

impl Allocated {
    const fn vectors(&self) -> u8 {
        match self.purpose {
            Purpose::Msi(vectors) => vectors,
            Purpose::Msix(..) => 1,
        }
    }
}

/// All of them.
#[derive(Default, Debug)]
pub struct Pirqs {
    all: BTreeMap<i32, Allocated>,
    next: i32,
}

impl Pirqs {
    /// Whether none is allocated.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The number of allocations.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The number of allocations that are bound.
    pub fn bound(&self) -> usize {
        self.all.values().filter(|pirq| pirq.bound.is_some()).count()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Allocated> {
        self.all.values()
    }

    /// The only one for MSI.
    ///
    /// # Panics
    ///
    /// If there are two.
    pub fn msi(&self) -> Option<&Allocated> {
        let mut found = self.all.values().filter(|pirq| matches!(pirq.purpose, Purpose::Msi(_)));
        let first = found.next();
        assert!(found.next().is_none(), "MSI holds two allocations");
        first
    }

    /// The one of an MSI-X vector.
    ///
    /// # Panics
    ///
    /// If there are two.
    pub fn msix(&self, entry: u16) -> Option<&Allocated> {
        let of = |pirq: &&Allocated| matches!(pirq.purpose, Purpose::Msix(e, _) if e == entry);
        let mut found = self.all.values().filter(of);
        let first = found.next();
        assert!(found.next().is_none(), "vector {entry} holds two PIRQs");
        first
    }

    fn get(&mut self, pirq: Pirq) -> &mut Allocated {
        self.all.get_mut(&pirq.0).unwrap_or_else(|| panic!("{pirq:?} is not allocated"))
    }

    pub(crate) fn allocate(&mut self, purpose: Purpose) -> Pirq {
        // 0 is a PIRQ as any other, and the first.
        let first = self.next;
        let allocated = Allocated { purpose, bound: None, masked: 0 };
        self.next += i32::from(allocated.vectors());
        self.all.insert(first, allocated);
        Pirq(first)
    }

    pub(crate) fn free(&mut self, pirq: Pirq) {
        let gone = self.all.remove(&pirq.0).unwrap_or_else(|| panic!("{pirq:?} is not allocated"));
        assert_eq!(gone.bound, None, "{pirq:?} was given back while it is bound");
    }

    pub(crate) fn bind(
        &mut self,
        pirq: Pirq,
        vectors: u8,
        message: Message,
        mask: u32,
    ) -> Result<(), HostError> {
        let allocated = self.get(pirq);
        assert_eq!(allocated.vectors(), vectors, "{pirq:?} has another number of vectors");
        assert_eq!(allocated.bound, None, "{pirq:?} is bound");
        // Interrupt messages have this address (Intel SDM volume 3, 11.11.1).
        if message.address & !0xf_ffff != 0xfee0_0000 {
            return Err(HostError);
        }
        allocated.bound = Some(message);
        allocated.masked = mask;
        Ok(())
    }

    pub(crate) fn unbind(&mut self, pirq: Pirq, vectors: u8) {
        let allocated = self.get(pirq);
        assert_eq!(allocated.vectors(), vectors, "{pirq:?} has another number of vectors");
        assert!(allocated.bound.take().is_some(), "{pirq:?} is not bound");
    }

    pub(crate) fn mask(&mut self, pirq: Pirq, index: u8, masked: bool) {
        let allocated = self.get(pirq);
        assert!(index < allocated.vectors(), "{pirq:?} has no vector {index}");
        let bit = 1 << index;
        allocated.masked = if masked { allocated.masked | bit } else { allocated.masked & !bit };
    }
}
