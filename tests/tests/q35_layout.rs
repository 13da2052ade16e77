//! The hole below 4 GiB: Xen's numbers, firmware's, and guests that do not fit.

use q35::layout::{Bar, Ecam, Input, Layout, Misfit, Platform, Range, plan};
use q35::{Window, pciexbar_encode};
use tests::random::Random;

const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

/// Xen's hole, F0000000 to FC000000, which may grow to all but 256 MB.
const XEN: Input<'_> = Input {
    ram: 4 * GB,
    hole_start: 0xf000_0000,
    least_hole_start: 0x1000_0000,
    hole_end: 0xfc00_0000,
    address_bits: 39,
    reserved: &[],
    ecam: Ecam::Anywhere(0x1000_0000),
};

const OVMF: Ecam = Ecam::At(match Window::new(0xb000_0000, 0x1000_0000) {
    Some(window) => window,
    None => panic!("it is aligned"),
});

fn low(size: u64) -> Bar {
    Bar { size, is_64_bit: false, address: 0 }
}

fn wide(size: u64) -> Bar {
    Bar { size, is_64_bit: true, address: 0 }
}

fn addresses(bars: &[Bar]) -> Vec<u64> {
    bars.iter().map(|bar| bar.address).collect()
}

/// 64 MB of ECAM are in Xen's hole as it is and leave 128 MB.
#[test]
fn the_smallest_window_fits_in_the_default_hole() {
    let mut bars = [low(64 * MB), low(64 * MB)];
    let layout = plan(&Input { ecam: Ecam::Anywhere(0x0400_0000), ..XEN }, &mut bars).unwrap();
    let platform = Platform { low_ram_end: 0xf000_0000, high_ram_end: 0x1_1000_0000, address_bits: 39 };
    let ecam = Window::new(0xf000_0000, 0x0400_0000).unwrap();
    assert_eq!(layout, Layout { platform, hole_start: 0xf000_0000, tolud: 0xf000, touud: 0x1100, ecam });
    assert_eq!(addresses(&bars), [0xf400_0000, 0xf800_0000]);
    assert_eq!(pciexbar_encode(layout.ecam), 0xf000_0005, "what hvmloader's patch writes");
}

/// 256 MB need low RAM to end at E0000000: `mmio_hole=512`.
#[test]
fn the_largest_window_needs_a_larger_hole() {
    let layout = plan(&XEN, &mut []).unwrap();
    assert_eq!((layout.hole_start, layout.ecam.base()), (0xe000_0000, 0xe000_0000));
    assert_eq!((layout.tolud, layout.touud), (0xe000, 0x1200));
    assert_eq!(layout.platform.high_ram_end, 0x1_2000_0000);
    let fixed = Input { least_hole_start: 0xf000_0000, ..XEN };
    assert_eq!(plan(&fixed, &mut []), Err(Misfit::EcamRoom));
}

/// OVMF's ECAM is at B0000000: `mmio_hole=1280`.
#[test]
fn ovmf_needs_low_ram_to_end_at_b0000000() {
    let layout = plan(&Input { ecam: OVMF, ..XEN }, &mut []).unwrap();
    assert_eq!((layout.hole_start, layout.ecam.base(), layout.tolud), (0xb000_0000, 0xb000_0000, 0xb000));
    assert_eq!(layout.platform.high_ram_end, 4 * GB + (4 * GB - 0xb000_0000));
    for least_hole_start in [0xb010_0000, 0xf000_0000] {
        let refused = plan(&Input { ecam: OVMF, least_hole_start, ..XEN }, &mut []);
        assert_eq!(refused, Err(Misfit::EcamRam), "{least_hole_start:#x}");
    }
    // The register's first value after a reset of the datasheet's MCH fits, too.
    let e0000000 = Ecam::At(Window::new(0xe000_0000, 0x1000_0000).unwrap());
    assert_eq!(plan(&Input { ecam: e0000000, ..XEN }, &mut []).unwrap().hole_start, 0xe000_0000);
}

#[test]
fn a_small_guest_has_all_its_ram_low() {
    let layout = plan(&Input { ram: 512 * MB, ecam: OVMF, ..XEN }, &mut []).unwrap();
    assert_eq!(layout.platform, Platform { low_ram_end: 512 * MB, high_ram_end: 0, address_bits: 39 });
    assert_eq!((layout.hole_start, layout.touud), (0xb000_0000, 0x1000));
}

/// ECAM keeps its place whatever BARs there are; the largest of them are first.
#[test]
fn ecam_is_first() {
    let mut bars = [low(16 * MB), low(512 * MB), wide(32 * MB), low(4096)];
    let layout = plan(&XEN, &mut bars).unwrap();
    // 512 MB are aligned at C0000000 at the highest, as the hole ends at FC000000.
    assert_eq!((layout.hole_start, layout.ecam.base()), (0xb000_0000, 0xb000_0000));
    assert_eq!(addresses(&bars), [0xe000_0000, 0xc000_0000, 0xe200_0000, 0xe100_0000]);
}

/// 64-bit BARs have what 32-bit ones leave, and are above RAM else; nothing of RAM is given up for them.
#[test]
fn large_64_bit_bars_are_above_ram() {
    let mut bars = [wide(8 * GB), wide(64 * MB), low(64 * MB), wide(128 * MB)];
    let layout = plan(&Input { ecam: Ecam::Anywhere(0x0400_0000), ..XEN }, &mut bars).unwrap();
    assert_eq!(layout.hole_start, 0xf000_0000);
    assert_eq!(addresses(&bars), [0x2_0000_0000, 0xf800_0000, 0xf400_0000, 0x1_1000_0000]);
}

#[test]
fn a_32_bit_bar_that_does_not_fit_is_named() {
    let fixed = Input { least_hole_start: 0xf000_0000, ecam: Ecam::Anywhere(0x0400_0000), ..XEN };
    assert_eq!(plan(&fixed, &mut [low(128 * MB)]), Err(Misfit::LowBar));
    assert_eq!(plan(&XEN, &mut [low(4 * GB)]), Err(Misfit::LowBar));
    let mut larger = [low(128 * MB)];
    let layout = plan(&Input { least_hole_start: 0xe000_0000, ..fixed }, &mut larger).unwrap();
    assert_eq!((layout.hole_start, larger[0].address), (0xec00_0000, 0xf000_0000));
}

#[test]
fn addresses_end_where_the_guest_s_do() {
    let wide_bar = |address_bits| plan(&Input { address_bits, ..XEN }, &mut [wide(32 * GB)]).err();
    assert_eq!(wide_bar(37), None);
    assert_eq!(wide_bar(36), None);
    assert_eq!(wide_bar(35), Some(Misfit::HighBar));
    assert_eq!(plan(&Input { address_bits: 32, ..XEN }, &mut []), Err(Misfit::RamWidth));
    assert!(plan(&Input { address_bits: 32, ram: 3 * GB, ..XEN }, &mut []).is_ok());
    let high = Ecam::At(Window::new(0x2_0000_0000, 0x1000_0000).unwrap());
    assert_eq!(plan(&Input { ecam: high, ..XEN }, &mut []).unwrap().hole_start, 0xf000_0000);
    assert_eq!(
        plan(&Input { ecam: high, address_bits: 33, ram: 3 * GB, ..XEN }, &mut []),
        Err(Misfit::EcamWidth)
    );
    assert_eq!(plan(&Input { ecam: high, ram: 16 * GB, ..XEN }, &mut []), Err(Misfit::EcamRam));
    assert_eq!(plan(&Input { ram: 100 * GB, ..XEN }, &mut []).unwrap().touud, 0xffff);
}

#[test]
fn reserved_regions_stay_free() {
    let reserved =
        [Range { start: 0xe000_0000, end: 0xe000_1000 }, Range { start: 0xd200_0000, end: 0xd300_0000 }];
    let mut bars = [low(16 * MB), low(32 * MB)];
    let layout = plan(&Input { reserved: &reserved, ..XEN }, &mut bars).unwrap();
    assert_eq!((layout.hole_start, layout.ecam.base()), (0xc000_0000, 0xc000_0000));
    assert_eq!(addresses(&bars), [0xd300_0000, 0xd000_0000]);
    let over = Input { reserved: &[Range { start: 0xbfff_f000, end: 0xc000_0000 }], ecam: OVMF, ..XEN };
    assert_eq!(plan(&over, &mut []), Err(Misfit::EcamReserved));
    let all = Input { reserved: &[Range { start: 0, end: 4 * GB }], ..XEN };
    assert_eq!(plan(&all, &mut []), Err(Misfit::EcamRoom));
    // Of any order, over each other, to the last address there is.
    let several = [
        Range { start: 0xf000_0000, end: u64::MAX },
        Range { start: 0xe800_0000, end: 0xf800_0000 },
        Range { start: 0xe000_0000, end: 0xe000_0001 },
    ];
    let layout = plan(&Input { reserved: &several, ..XEN }, &mut []).unwrap();
    assert_eq!(layout.ecam.base(), 0xd000_0000);
    assert_eq!(plan(&Input { reserved: &several, ..XEN }, &mut [wide(8 * GB)]), Err(Misfit::HighBar));
    // One without addresses is in nobody's way.
    let none = Input { reserved: &[Range { start: 0xe800_0000, end: 0xe800_0000 }], ..XEN };
    assert_eq!(plan(&none, &mut []).unwrap().ecam.base(), 0xe000_0000);
}

#[test]
fn ecam_is_in_the_hole_or_above() {
    let at = |base, size| plan(&Input { ecam: Ecam::At(Window::new(base, size).unwrap()), ..XEN }, &mut []);
    assert_eq!(at(0xfc00_0000, 0x0400_0000), Err(Misfit::EcamFixed));
    assert_eq!(at(0xf000_0000, 0x1000_0000), Err(Misfit::EcamFixed));
    assert_eq!(at(0, 0x1000_0000), Err(Misfit::EcamRam));
    let short = Input { hole_end: 0xf000_0000, hole_start: 0xe000_0000, ..XEN };
    let behind = Ecam::At(Window::new(0xf000_0000, 0x0400_0000).unwrap());
    assert_eq!(plan(&Input { ecam: behind, ..short }, &mut []), Err(Misfit::EcamFixed));
}

#[test]
fn nonsense_is_refused() {
    for input in [
        Input { ram: 0, ..XEN },
        Input { ram: 1 << 52, ..XEN },
        Input { ram: GB + 4096, ..XEN },
        Input { hole_start: 0xf000_1000, ..XEN },
        Input { least_hole_start: 0xf010_0000, ..XEN },
        Input { least_hole_start: 0, ..XEN },
        Input { hole_end: 0xef00_0000, ..XEN },
        Input { hole_end: 4 * GB, ..XEN },
        Input { address_bits: 31, ..XEN },
        Input { address_bits: 53, ..XEN },
        Input { ecam: Ecam::Anywhere(0x0200_0000), ..XEN },
        Input { reserved: &[Range { start: 0xe800_0000, end: 0xe7ff_ffff }], ..XEN },
    ] {
        assert_eq!(plan(&input, &mut []), Err(Misfit::Input), "{input:x?}");
    }
    for size in [0, 3, 12 * MB] {
        assert_eq!(plan(&XEN, &mut [low(size)]), Err(Misfit::Input));
    }
}

/// What is planned obeys every rule, and no smaller hole does.
#[test]
fn plans_obey_the_rules() {
    let mut random = Random::new(0x686f_6c65);
    let (mut fits, mut misfits) = (0, 0);
    for _ in 0..4000 {
        let reserved: Vec<Range> = (0..random.below(4))
            .map(|_| {
                let start = u64::from(random.below(0xff00)) << 16;
                Range { start, end: start + (u64::from(random.below(0x400)) << 16) }
            })
            .collect();
        let size = random.pick(&[0x0400_0000, 0x0800_0000, 0x1000_0000]);
        let fixed = Window::new(u64::from(random.below(64)) * u64::from(size), size).unwrap();
        let input = Input {
            ram: u64::from(1 + random.below(16 * 1024)) * MB,
            least_hole_start: u64::from(random.pick(&[0x1000_0000u32, 0x8000_0000, 0xe000_0000])),
            address_bits: random.pick(&[32, 36, 39, 46]),
            reserved: &reserved,
            ecam: if random.one_in(4) { Ecam::At(fixed) } else { Ecam::Anywhere(size) },
            ..XEN
        };
        let mut bars: Vec<Bar> = (0..random.below(8))
            .map(|_| Bar { size: 4096 << random.below(20), is_64_bit: random.one_in(2), address: 0 })
            .collect();
        let Ok(layout) = plan(&input, &mut bars) else {
            misfits += 1;
            continue;
        };
        fits += 1;
        check(&input, &bars, &layout);
        let smaller = layout.hole_start + 0x0400_0000;
        if smaller <= input.hole_start {
            let tighter = Input { least_hole_start: smaller, ..input };
            assert!(plan(&tighter, &mut bars).is_err(), "a smaller hole would do: {input:x?}");
        }
    }
    assert!(fits > 500 && misfits > 500, "{fits} fit, {misfits} do not");
}

fn check(input: &Input<'_>, bars: &[Bar], layout: &Layout) {
    let Platform { low_ram_end, high_ram_end, address_bits } = layout.platform;
    assert_eq!(low_ram_end + high_ram_end.saturating_sub(4 * GB), input.ram);
    assert!(low_ram_end <= layout.hole_start && high_ram_end <= 1 << address_bits);
    assert_eq!(u64::from(layout.tolud) << 16, layout.hole_start);
    assert_eq!(layout.platform.check(layout.ecam), Ok(()));
    let ecam = (layout.ecam.base(), layout.ecam.base() + u64::from(layout.ecam.size()));
    let mut taken = vec![ecam];
    taken.extend(bars.iter().map(|bar| (bar.address, bar.address + bar.size)));
    for bar in bars {
        assert_eq!(bar.address % bar.size, 0, "aligned");
        assert!(bar.is_64_bit || bar.address < 4 * GB);
    }
    for (at, one) in taken.iter().enumerate() {
        let low = layout.hole_start <= one.0 && one.1 <= input.hole_end;
        let high = one.0 >= high_ram_end.max(4 * GB) && one.1 <= 1 << address_bits;
        assert!(low || high, "{one:x?} is in no hole of {input:x?}");
        assert!(!input.reserved.iter().any(|r| r.start < one.1 && one.0 < r.end), "{one:x?} is reserved");
        assert!(
            !taken[..at].iter().any(|other| other.0 < one.1 && one.0 < other.1),
            "{one:x?} meets another"
        );
    }
}
