//! The image of an MCH: it comes back as it was, and what could not have been is refused whole.

use q35::{Image, ImageError, Info};
use tests::mch::{Bridge, INFO};
use zerocopy::IntoBytes;

/// Where the fields are: they are read by other hosts.
const VERSION: usize = 4;
const LENGTH: usize = 8;
const CONFIG_ADDRESS: usize = 12;
const REGISTERS: usize = 16;
const WINDOW: usize = 272;
const OVERLAPS: usize = 280;
const RESERVED: usize = 284;

const SMRAM: usize = REGISTERS + 0x9d;
const PCIEXBAR: usize = REGISTERS + 0x60;

fn bytes(bridge: &Bridge) -> Vec<u8> {
    bridge.0.save(0x8000_f8a4).as_bytes().to_vec()
}

/// One that firmware has worked on.
fn used() -> Bridge {
    let mut bridge = Bridge::new(&INFO);
    for (offset, width, value) in [
        (0x04, 2, 0x0140),
        (0x3c, 1, 0x0b),
        (0x60, 4, 0x7c00_0005),
        (0x64, 4, 0x2),
        (0x90, 4, 0x1111_1110),
        (0xac, 4, 0x7f80_0000),
        (0xb0, 2, 0x8000),
        (0xdc, 4, 0x1234_5678),
        (0x9d, 1, 0x3a),
    ] {
        bridge.write(offset, width, value);
    }
    bridge
}

/// That nothing was changed: what it reads, what is decoded, what is counted, and what is stored.
fn assert_refused(image: &[u8], error: ImageError, why: &str) {
    let mut other = Bridge::new(&INFO);
    other.write(0x40, 4, 0x1001);
    let before = bytes(&other);
    assert_eq!(other.0.restore(image), Err(error), "{why}");
    assert_eq!(bytes(&other), before, "{why}");
}

/// `image` with other bytes at `at`.
fn with(image: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    image
}

#[test]
fn the_layout_is_fixed() {
    let image = bytes(&used());
    assert_eq!(image.len(), Image::SIZE);
    assert_eq!(image[..4], *b"MCHS");
    assert_eq!(image[VERSION..][..4], [1, 0, 0, 0]);
    assert_eq!(image[LENGTH..][..4], [0x20, 1, 0, 0]);
    assert_eq!(image[CONFIG_ADDRESS..][..4], [0xa4, 0xf8, 0, 0x80]);
    assert_eq!(image[REGISTERS..][..4], [0x86, 0x80, 0xc0, 0x29]);
    assert_eq!(image[SMRAM], 0x3a);
    assert_eq!(image[WINDOW..][..8], [5, 0, 0, 0x7c, 2, 0, 0, 0]);
    assert_eq!(image[RESERVED..], [0; 4]);
}

#[test]
fn it_comes_back_as_it_was() {
    let source = used();
    let image = bytes(&source);
    let mut copy = Bridge::new(&INFO);
    copy.write(0xc8, 4, u32::MAX);
    assert_eq!(copy.0.restore(&image), Ok(0x8000_f8a4));
    assert_eq!(copy.dwords(), source.dwords());
    assert_eq!(copy.window(), Some((0x2_7c00_0000, 64)));
    assert_eq!(copy.0.overlaps(), source.0.overlaps());
    assert_eq!(bytes(&copy), image);
    // Its lock came with it, and goes with a reset.
    copy.write(0xac, 4, 0);
    assert_eq!(copy.read(0xac, 4), 0x7f80_0000);
    copy.0.reset();
    copy.write(0xac, 4, 0x0010_0000);
    assert_eq!(copy.read(0xac, 4), 0x0010_0000);
    assert_eq!(copy.window(), Some((0xb000_0000, 256)));
    // And it takes the lock off one that had it.
    let unlocked = bytes(&Bridge::new(&INFO));
    let mut locked = used();
    assert_eq!(locked.0.restore(&unlocked), Ok(0x8000_f8a4));
    locked.write(0xac, 4, 0x0030_0000);
    assert_eq!(locked.read(0xac, 4), 0x0030_0000);
}

/// Base bits that the length hides come back with a shorter window.
#[test]
fn what_does_not_show_comes_along() {
    let mut source = Bridge::new(&INFO);
    source.write(0x60, 4, 0xbc00_0001);
    let mut copy = Bridge::new(&INFO);
    copy.0.restore(&bytes(&source)).unwrap();
    for bridge in [&mut source, &mut copy] {
        assert_eq!(bridge.pciexbar(), 0xb000_0001);
        bridge.write(0x60, 1, 0x05);
        assert_eq!((bridge.pciexbar(), bridge.window()), (0xbc00_0005, Some((0xbc00_0000, 64))));
    }
    // And the window that the reserved length left.
    source.write(0x60, 1, 0x07);
    copy.0.reset();
    copy.0.restore(&bytes(&source)).unwrap();
    assert_eq!((copy.pciexbar(), copy.window()), (0xbc00_0007, Some((0xbc00_0000, 64))));
}

#[test]
fn another_length_or_version_is_refused() {
    let image = bytes(&used());
    for length in [0, 1, 16, Image::SIZE - 1] {
        assert_refused(&image[..length], ImageError::Length, "cut");
    }
    assert_refused(&[&image[..], &[0]].concat(), ImageError::Length, "longer");
    assert_refused(&with(&image, LENGTH, &[0x21]), ImageError::Length, "says another length");
    assert_refused(&with(&image, 0, b"mchs"), ImageError::Magic, "something else");
    for version in [0, 2, 0xff] {
        assert_refused(&with(&image, VERSION, &[version]), ImageError::Version, "another version");
    }
}

#[test]
fn what_no_write_can_lead_to_is_refused() {
    let image = bytes(&used());
    for (at, byte, why) in [
        (REGISTERS, 0x87, "the vendor"),
        (REGISTERS + 0x04, 0x40, "hardwired bits of COMMAND"),
        (REGISTERS + 0x07, 0x80, "an error that was never reported"),
        (REGISTERS + 0x10, 0x01, "a BAR"),
        (REGISTERS + 0x51, 0x01, "no register"),
        (REGISTERS + 0x54, 0x00, "the host bridge disabled"),
        (REGISTERS + 0x67, 0x01, "bits above 64 GB"),
        (PCIEXBAR + 1, 0x01, "bits below 64 MB"),
        (REGISTERS + 0x9c, 0x01, "no register"),
        (SMRAM, 0x38, "hardwired bits of SMRAM"),
        (SMRAM, 0x7a, "open and locked"),
        (REGISTERS + 0x9e, 0x38, "SMM"),
        (REGISTERS + 0xc8, 0x01, "an error that was never reported"),
        (REGISTERS + 0xff, 0x01, "no register"),
        (RESERVED, 0x01, "a reserved field"),
    ] {
        assert_refused(&with(&image, at, &[byte]), ImageError::Content, why);
    }
}

#[test]
fn a_window_that_is_not_the_register_s_is_refused() {
    let image = bytes(&Bridge::new(&INFO));
    let window = |image: &[u8], value: u64| with(image, WINDOW, &value.to_le_bytes());
    for (value, why) in [
        (0, "none, though it is enabled"),
        (0xb000_0005, "another length"),
        (0xc000_0001, "another base"),
        (0xb000_0007, "the reserved length"),
        (0x1_b000_0001, "another base"),
        (0xb800_0001, "not aligned"),
    ] {
        assert_refused(&window(&image, value), ImageError::Content, why);
    }
    let disabled = with(&image, PCIEXBAR, &[0]);
    assert_refused(&disabled, ImageError::Content, "a window, though it is disabled");
    assert!(Bridge::new(&INFO).0.restore(&window(&disabled, 0)).is_ok());

    // With the reserved length it is any window that there could have been.
    let kept = with(&image, PCIEXBAR, &[0x07]);
    for value in [0, 0xb000_0001, 0xc400_0005, 0xf_f800_0003] {
        assert!(Bridge::new(&INFO).0.restore(&window(&kept, value)).is_ok(), "{value:#x}");
    }
    for value in [0xb000_0000, 0xb000_0007, 0xb800_0001, 0x10_b000_0001, 0xb000_0009, 6] {
        assert_refused(&window(&kept, value), ImageError::Content, "no window");
    }
}

/// A window over RAM is one that a write made, and such writes are counted.
#[test]
fn a_window_over_ram_that_nobody_counted_is_refused() {
    let mut source = Bridge::new(&INFO);
    source.write(0x60, 4, 0x7000_0001);
    let image = bytes(&source);
    assert_eq!(image[OVERLAPS..][..4], [1, 0, 0, 0]);
    assert_refused(&with(&image, OVERLAPS, &[0]), ImageError::Content, "over RAM");
    source.write(0x60, 1, 0x07);
    let image = bytes(&source);
    assert_eq!(Bridge::new(&INFO).0.restore(&image), Ok(0x8000_f8a4));
    assert_refused(&with(&image, OVERLAPS, &[0]), ImageError::Content, "over RAM, and kept");
    // Counted once, it stays so.
    source.write(0x60, 4, 0xb000_0001);
    assert_eq!(Bridge::new(&INFO).0.restore(&bytes(&source)), Ok(0x8000_f8a4));
}

/// The guest's addresses are the toolstack's to say: an image of a wider guest does not fit.
#[test]
fn a_wider_guest_s_image_is_refused() {
    let wide = used();
    let mut narrow = Bridge::new(&Info { address_bits: 33, ..INFO });
    assert_eq!(narrow.0.restore(&bytes(&wide)), Err(ImageError::Content));
    let kept = with(&bytes(&Bridge::new(&INFO)), PCIEXBAR, &[0x07]);
    let kept = with(&kept, WINDOW, &0x2_b000_0001_u64.to_le_bytes());
    assert_eq!(narrow.0.restore(&kept), Err(ImageError::Content));
    assert!(Bridge::new(&INFO).0.restore(&kept).is_ok());
}
