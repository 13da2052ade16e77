//! The command register (PCIe 7.5.1.1.3): memory decoding follows the p2m, all else is the hardware domain's.

use capabilities::Width;
use capabilities::header::{self, Command};

use crate::function::Function;
use crate::{Host, Written};

impl Function<'_> {
    /// Whether writing `value` turns memory decoding on or off, seen from what was last asked for.
    pub(crate) fn command_changes_mapping(&self, value: u16) -> bool {
        let memory = Command::from_bits_retain(value).contains(Command::MEMORY);
        memory != self.state.mapping.memory && self.has_memory()
    }

    /// The hardware domain writes `value`. While the p2m changes, the register keeps its old value, and the last
    /// value written is the one it gets.
    pub(crate) fn write_command<H: Host>(&mut self, host: &H, value: u16) -> Written {
        let memory = Command::from_bits_retain(value).contains(Command::MEMORY);
        if self.command_changes_mapping(value) {
            self.retarget(memory, self.state.mapping.rom);
            self.state.mapping.set_command(value);
            return Written::Pending;
        }
        self.state.mapping.memory = memory;
        if self.state.mapping.is_pending() {
            self.state.mapping.set_command(value);
            return Written::Pending;
        }
        host.config_write(self.state.sbdf(), header::COMMAND, Width::Word, u32::from(value));
        Written::Done
    }
}
