//! QEMU's monitor: one JSON object a line (its QMP).

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use super::devices::Device;

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A monitor that takes commands.
pub(crate) struct Monitor(BufReader<TcpStream>);

impl Monitor {
    /// Starts to talk.
    pub(crate) fn open(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self(BufReader::new(stream));
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Does a command. What QEMU says unasked is passed over.
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let text = json!({ "execute": command, "arguments": arguments });
        self.0.get_mut().write_all(format!("{text}\n").as_bytes())?;
        let mut line = String::new();
        while self.0.read_line(&mut line).with_context(|| format!("QEMU does not answer to {command}"))? > 0 {
            let answer: Value = serde_json::from_str(&line)?;
            if let Some(error) = answer.get("error") {
                bail!("{command}: {error}");
            }
            if answer.get("return").is_some() {
                return Ok(());
            }
            line.clear();
        }
        bail!("QEMU's monitor is closed");
    }

    /// Plugs a device in as the command line has it.
    pub(crate) fn plug(&mut self, device: &Device) -> Result<()> {
        self.execute("device_add", &properties(device.qemu.last().copied().unwrap_or_default()))
    }
}

/// What is behind `-device`, as an object.
fn properties(option: &str) -> Value {
    let mut parts = option.split(',');
    let mut all = Map::new();
    all.insert("driver".to_owned(), parts.next().unwrap_or_default().into());
    all.extend(parts.filter_map(|p| p.split_once('=')).map(|(name, value)| (name.to_owned(), value.into())));
    all.into()
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, net::TcpListener, thread};

    use super::*;

    #[test]
    fn an_option_is_an_object() {
        let object = json!({ "driver": "nvme", "bus": "port2", "serial": "one" });
        assert_eq!(properties("nvme,bus=port2,serial=one"), object);
    }

    #[test]
    fn waits_for_its_own_answer_and_tells_errors() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut qemu, _) = listener.accept().unwrap();
        let said = thread::spawn(move || {
            qemu.write_all(b"{\"QMP\": {}}\n{\"event\": \"RESUME\"}\n{\"return\": {}}\n").unwrap();
            qemu.write_all(b"{\"event\": \"X\"}\n{\"error\": {\"desc\": \"no such bus\"}}\n").unwrap();
            qemu.shutdown(std::net::Shutdown::Write).unwrap();
            let mut said = String::new();
            qemu.read_to_string(&mut said).unwrap();
            said
        });
        let mut monitor = Monitor::open(stream).unwrap();
        let error = monitor.execute("device_add", &json!({ "driver": "nvme" })).unwrap_err().to_string();
        assert!(error.contains("no such bus"), "{error}");
        assert!(monitor.execute("stop", &json!({})).is_err());
        drop(monitor);
        let said = said.join().unwrap();
        assert_eq!(said.lines().count(), 3);
        assert!(said.lines().nth(1).unwrap().contains("device_add"), "{said}");
    }
}
