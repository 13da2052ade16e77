//! Configuration mechanism #1: the ports 0xCF8 and 0xCFC (PCI 3.2.2.3.2).

use capabilities::Sbdf;

/// `CONFIG_ADDRESS` bit 31: the data ports reach configuration space.
const ENABLE: u32 = 1 << 31;
/// `CONFIG_DATA`.
const DATA: u16 = 0xcfc;

/// The function, and the byte offset below 0x100, that an access to `port`, 0xCFC to 0xCFF, reaches while
/// `CONFIG_ADDRESS` holds `config_address`. `None` for another port, or if bit 31 is clear: it is then an I/O port like
/// any other.
///
/// Bits 30:24 and 1:0 do not count. AMD processors have bits 11:8 of the offset in bits 27:24; the MCH does not, and
/// its guests have ECAM.
#[inline]
#[must_use]
pub const fn decode_port(config_address: u32, port: u16) -> Option<(Sbdf, u16)> {
    if config_address & ENABLE == 0 || port & !3 != DATA {
        return None;
    }
    // CAST: masked to 8 bits.
    let offset = (config_address & 0xfc) as u16 | port & 3;
    Some((Sbdf(config_address >> 8 & 0xffff), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_reach_one_byte_each_of_256() {
        assert_eq!(decode_port(0x8000_0060, 0xcfc), Some((Sbdf(0), 0x60)));
        assert_eq!(decode_port(0x80ff_fbfc, 0xcff), Some((Sbdf::new(0, 0xff, 0x1f, 3), 0xff)));
        assert_eq!(decode_port(0x0000_0060, 0xcfc), None);
        for port in [0xcf8, 0xcfb, 0xd00, 0, 0xfffc, 0xffff] {
            assert_eq!(decode_port(0x8000_0060, port), None, "{port:#x}");
        }
    }

    #[test]
    fn bits_that_the_specification_reserves_do_not_count() {
        for bit in [0, 1, 24, 25, 26, 27, 28, 29, 30] {
            for port in 0xcfc..=0xcff {
                let plain = decode_port(0x8000_0960, port);
                assert_eq!(decode_port(0x8000_0960 | 1 << bit, port), plain, "bit {bit}");
            }
        }
    }
}
