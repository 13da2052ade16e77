//! QEMU's own Q35, stopped before its first instruction: ports and memory by the qtest protocol, resets by QMP.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// RAM of the machine, from address 0 on, in MiB.
pub(crate) const RAM_MIB: u32 = 128;

/// One that runs, until it is dropped.
pub(crate) struct Machine {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
    monitor: Monitor,
    version: String,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Machine {
    /// Starts it.
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let monitor = format!("tcp:{}", listener.local_addr()?);
        let ram = format!("{RAM_MIB}M");
        let mut command = Command::new("qemu-system-x86_64");
        // With SMM, which SMRAM's lock needs. A log of the protocol that nobody reads would stop QEMU.
        command
            .args(["-machine", "q35", "-accel", "tcg", "-S", "-m", &ram, "-display", "none", "-nodefaults"])
            .args(["-qtest", "stdio", "-qtest-log", "/dev/null", "-qmp", &monitor]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let stream = accept(&listener, &mut child)?;
        let commands = child.stdin.take().context("QEMU has no input")?;
        let replies = BufReader::new(child.stdout.take().context("QEMU has no output")?);
        let (monitor, version) = Monitor::open(stream)?;
        Ok(Self { child, commands, replies, monitor, version })
    }

    /// QEMU's version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Runs commands of the protocol, one a line, all sent before the first reply is read: they and their replies must
    /// fit into a pipe. What they read; 0 for a command that reads nothing.
    pub(crate) fn run(&mut self, commands: &str) -> Result<Vec<u64>> {
        self.commands.write_all(commands.as_bytes()).context("QEMU takes no commands")?;
        commands.lines().map(|command| self.reply(command)).collect()
    }

    fn reply(&mut self, command: &str) -> Result<u64> {
        let mut line = String::new();
        ensure!(self.replies.read_line(&mut line)? != 0, "QEMU has ended");
        let reply = line.trim_end();
        match reply.strip_prefix("OK") {
            Some("") => Ok(0),
            Some(value) => hexadecimal(value).with_context(|| format!("{command}: {reply}")),
            None => bail!("{command}: {reply}"),
        }
    }

    /// Resets it, and waits until that is done.
    pub(crate) fn reset(&mut self) -> Result<()> {
        self.monitor.execute("system_reset")?;
        while self.monitor.next()?["event"] != "RESET" {}
        Ok(())
    }
}

/// QEMU connects before it does anything else, or dies over a wrong argument.
fn accept(listener: &TcpListener, child: &mut Child) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = child.try_wait()? {
            bail!("QEMU did not start: {status}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// `0x…` behind a space.
fn hexadecimal(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix(" 0x")?, 16).ok()
}

/// The QMP connection: one JSON object a line.
struct Monitor {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Monitor {
    /// Greets QEMU, and learns its version.
    fn open(stream: TcpStream) -> Result<(Self, String)> {
        let lines = BufReader::new(stream.try_clone()?);
        let mut monitor = Self { stream, lines };
        let greeting = monitor.next()?;
        let number =
            |name: &str| greeting["QMP"]["version"]["qemu"][name].as_u64().context("QEMU has no version");
        let version = format!("{}.{}.{}", number("major")?, number("minor")?, number("micro")?);
        monitor.execute("qmp_capabilities")?;
        Ok((monitor, version))
    }

    fn execute(&mut self, command: &str) -> Result<()> {
        writeln!(self.stream, "{{\"execute\": \"{command}\"}}")?;
        Ok(())
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.lines.read_line(&mut line)? != 0, "QEMU has ended");
        let said: Value = serde_json::from_str(&line)?;
        ensure!(said.get("error").is_none(), "QEMU refuses: {line}");
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        assert_eq!(hexadecimal(" 0x29c08086"), Some(0x29c0_8086));
        assert_eq!(hexadecimal(" 0xffffffffffffffff"), Some(u64::MAX));
        assert_eq!(hexadecimal(" 12"), None);
    }
}
