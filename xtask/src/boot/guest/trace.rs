//! Device-model servers: what each of them had to do, against what the guest says that it did.

use std::collections::BTreeMap;

use super::{
    launched::Launched,
    scenario::{Presence, Row, Server},
};
use crate::boot::protocol::Transcript;

/// The doorbell of a server's function, and what is rung for (`loader/server.h`).
const DOORBELL: &str = "0f8";
const CLAIM: u32 = 1;
const RELEASE: u32 = 2;
const LEAVE: u32 = 3;
const CALL: u32 = 4;

/// What a server says when it cannot have what it claims.
const REFUSED: &str = "EEXIST (File exists)";

/// An access as both sides write it: `R|W BB:DD.F REGISTER SIZE VALUE`.
struct Access<'a> {
    function: &'a str,
    register: &'a str,
    /// A dword that was written.
    written: Option<u32>,
}

impl<'a> Access<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ');
        let (kind, function, register, size, value) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let value = u32::from_str_radix(value, 16).ok()?;
        let good = matches!(kind, "R" | "W") && words.next().is_none();
        let written = (kind == "W" && size == "4").then_some(value);
        good.then_some(Self { function, register, written })
    }

    /// The operation that it rings for, and the function that it is about.
    fn ring(&self) -> Option<(u32, String)> {
        let value = self.written.filter(|_| self.register == DOORBELL)?;
        let function = format!("{:02x}:{:02x}.{:x}", value >> 8 & 0xff, value >> 3 & 0x1f, value & 7);
        Some((value >> 24, function))
    }
}

/// Who has which function, as the guest goes on.
struct Owners<'a> {
    servers: &'a [Server],
    by_function: BTreeMap<String, u32>,
    /// How many came by now of those that visit.
    visitors: usize,
}

impl<'a> Owners<'a> {
    fn new(servers: &'a [Server]) -> Self {
        let mut owners = Self { servers, by_function: BTreeMap::new(), visitors: 0 };
        for (number, server) in (1..).zip(servers).filter(|(_, s)| s.presence == Presence::Stays) {
            owners.come(number, server);
        }
        owners
    }

    fn come(&mut self, number: u32, server: &Server) {
        self.by_function.insert(server.functions.to_owned(), number);
    }

    /// The server that gets the access, which may ring for others.
    fn take(&mut self, access: &Access<'_>) -> Option<u32> {
        let owner = *self.by_function.get(access.function)?;
        match access.ring() {
            // What somebody has stays theirs.
            Some((CLAIM, function)) => _ = self.by_function.entry(function).or_insert(owner),
            Some((RELEASE, function)) => {
                self.by_function.retain(|name, number| *name != function || *number != owner);
            }
            Some((LEAVE, _)) => self.by_function.retain(|_, number| *number != owner),
            Some((CALL, _)) => {
                let mut visitors = (1..).zip(self.servers).filter(|(_, s)| s.presence == Presence::Visits);
                if let Some((number, server)) = visitors.nth(self.visitors) {
                    self.come(number, server);
                    self.visitors += 1;
                }
            }
            _ => {}
        }
        Some(owner)
    }
}

/// What the guest says that each server had to do, and what it did that no server can have had.
fn expected<'a>(servers: &[Server], said: &'a Transcript) -> (BTreeMap<u32, Vec<&'a str>>, Vec<String>) {
    let (mut lists, mut wrong) = (BTreeMap::<u32, Vec<&str>>::new(), Vec::new());
    let mut owners = Owners::new(servers);
    for line in said.notes.iter().filter_map(|note| note.strip_prefix("access ")) {
        match Access::parse(line).and_then(|access| owners.take(&access)) {
            Some(owner) => lists.entry(owner).or_default().push(line),
            None => wrong.push(format!("no server has what the guest says it accessed: {line}")),
        }
    }
    (lists, wrong)
}

/// The first line that is not the same in both.
fn difference(guest: &[&str], server: &[&str]) -> Option<String> {
    let at = (0..guest.len().max(server.len())).find(|at| guest.get(*at) != server.get(*at))?;
    let line = |of: &[&str]| of.get(at).map_or_else(|| "nothing".to_owned(), |line| format!("`{line}`"));
    Some(format!("access {}: the guest did {}, the server had {}", at + 1, line(guest), line(server)))
}

/// Compares the lists. What holds, and what does not.
pub(super) fn judge(row: &Row, guest: &Launched, said: &Transcript) -> (Vec<String>, Vec<String>) {
    let (expected, mut wrong) = expected(row.servers, said);
    let mut held = Vec::new();
    for (number, server) in (1..).zip(row.servers) {
        let name = format!("server {number} ({})", server.functions);
        let lines = guest.servers.get(&number).map_or(&[][..], Vec::as_slice);
        if server.presence == Presence::Refused {
            match lines {
                [line] if line.starts_with("failed claiming") && line.ends_with(REFUSED) => {
                    held.push(format!("{} refused", server.functions));
                }
                _ => wrong.push(format!("{name}: not refused: {}", lines.join("; "))),
            }
            continue;
        }
        let (accesses, others): (Vec<&str>, Vec<&str>) =
            lines.iter().map(String::as_str).partition(|line| Access::parse(line).is_some());
        match others.as_slice() {
            [ready] if ready.starts_with("ready") => {}
            [] => wrong.push(format!("{name}: did not come")),
            _ => wrong
                .extend(others.iter().filter(|l| !l.starts_with("ready")).map(|l| format!("{name}: {l}"))),
        }
        let wanted = expected.get(&number).map_or(&[][..], Vec::as_slice);
        let high = accesses.iter().filter_map(|l| Access::parse(l)).filter(|a| a.register >= "100").count();
        match difference(wanted, &accesses) {
            Some(difference) => wrong.push(format!("{name}: {difference}")),
            None if accesses.is_empty() => wrong.push(format!("{name}: nothing was accessed")),
            None if server.extended && high == 0 => wrong.push(format!("{name}: nothing from 100 on")),
            None => held.push(format!("{name}: its {} accesses, {high} from 100 on", accesses.len())),
        }
    }
    (held, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::guest::rows::TINY;

    const SERVERS: &[Server] = &[
        Server { presence: Presence::Stays, functions: "00:05.0", extended: true },
        Server { presence: Presence::Stays, functions: "00:06.0", extended: false },
        Server { presence: Presence::Visits, functions: "00:07.0", extended: false },
        Server { presence: Presence::Refused, functions: "00:00.0", extended: false },
    ];

    /// What the guest did, and which server it was for.
    const STORY: &[(u32, &str)] = &[
        (1, "R 00:05.0 100 4 00281234"),
        (2, "W 00:06.0 041 1 5a"),
        // 00:09.0 is server 1's for a while, then server 2's; 00:06.0 stays server 2's.
        (1, "W 00:05.0 0f8 4 01000048"),
        (1, "R 00:09.0 000 4 00481234"),
        (1, "W 00:05.0 0f8 4 01000030"),
        (2, "R 00:06.0 0f8 4 00000000"),
        (1, "W 00:05.0 0f8 4 02000048"),
        (2, "W 00:06.0 0f8 4 01000048"),
        (2, "R 00:09.0 0fe 2 1234"),
        (1, "W 00:05.0 0f8 4 04000000"),
        (3, "R 00:07.0 000 4 00381234"),
        (3, "W 00:07.0 0f8 4 03000000"),
    ];

    fn told(change: impl FnOnce(&mut Launched, &mut Transcript)) -> (Vec<String>, Vec<String>) {
        let (mut guest, mut said) = (Launched::default(), Transcript::default());
        for number in 1..=3 {
            guest.servers.insert(number, vec![format!("ready as {number}")]);
        }
        guest.servers.insert(4, vec![format!("failed claiming 0000:00:00.0: {REFUSED}")]);
        for (number, line) in STORY {
            said.take(&format!("note access {line}"));
            guest.servers.get_mut(number).unwrap().push((*line).to_owned());
        }
        change(&mut guest, &mut said);
        judge(&Row { servers: SERVERS, ..TINY }, &guest, &said)
    }

    #[test]
    fn each_server_has_its_own_accesses() {
        let (held, wrong) = told(|_, _| ());
        assert_eq!(wrong, [""; 0]);
        assert_eq!(
            held,
            [
                "server 1 (00:05.0): its 6 accesses, 1 from 100 on",
                "server 2 (00:06.0): its 4 accesses, 0 from 100 on",
                "server 3 (00:07.0): its 2 accesses, 0 from 100 on",
                "00:00.0 refused"
            ]
        );
    }

    #[test]
    fn another_order_or_value_or_one_more_or_less_fails() {
        let swapped = told(|guest, _| guest.servers.get_mut(&1).unwrap().swap(1, 2)).1;
        assert_eq!(
            swapped,
            ["server 1 (00:05.0): access 1: the guest did `R 00:05.0 100 4 00281234`, \
              the server had `W 00:05.0 0f8 4 01000048`"]
        );
        let value = told(|guest, _| guest.servers.get_mut(&2).unwrap()[1] = "W 00:06.0 041 1 5b".into()).1;
        assert!(value[0].ends_with("did `W 00:06.0 041 1 5a`, the server had `W 00:06.0 041 1 5b`"));
        let more = told(|guest, _| guest.servers.get_mut(&3).unwrap().push("R 00:07.0 000 1 34".into())).1;
        assert!(more[0].ends_with("access 3: the guest did nothing, the server had `R 00:07.0 000 1 34`"));
        let less = told(|guest, _| _ = guest.servers.get_mut(&3).unwrap().pop()).1;
        assert!(less[0].ends_with("the server had nothing"), "{less:?}");
    }

    #[test]
    fn what_a_server_should_not_have_seen_fails() {
        let error = told(|guest, _| guest.servers.get_mut(&2).unwrap().push("error x".into())).1;
        assert_eq!(error, ["server 2 (00:06.0): error x"]);
        // The visitor has gone.
        let gone = told(|_, said| _ = said.take("note access R 00:07.0 000 4 ffffffff")).1;
        assert_eq!(gone, ["no server has what the guest says it accessed: R 00:07.0 000 4 ffffffff"]);
    }

    #[test]
    fn a_claim_that_is_not_refused_and_a_server_that_is_not_asked_fail() {
        let had = told(|guest, _| _ = guest.servers.insert(4, vec!["ready as 3".into()])).1;
        assert_eq!(had, ["server 4 (00:00.0): not refused: ready as 3"]);
        let other = told(|guest, _| _ = guest.servers.insert(4, vec!["failed claiming x: EINVAL".into()])).1;
        assert_eq!(other.len(), 1);
        let (_, idle) =
            judge(&Row { servers: SERVERS, ..TINY }, &Launched::default(), &Transcript::default());
        assert_eq!(idle.len(), 7);
    }
}
