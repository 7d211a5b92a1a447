//! Which addresses anybody on the internet may have: the others are this machine's, its neighbours' or a cloud's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether it is an address out there. Ranges for documentation count: they lead nowhere, or where somebody put
/// them on purpose.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

/// The same address as both ends of a comparison should hold it.
pub fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(inner) => embedded(inner).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // A cloud answers its machines at this one, and it looks like any other.
    let is_of_a_cloud = address == Ipv4Addr::new(168, 63, 129, 16);
    !(is_of_a_cloud
        || matches!(
            (a, b, c),
            (0 | 10 | 127, _, _)            // this network, private, loopback
                | (100, 64..=127, _)        // shared behind a carrier
                | (169, 254, _)             // link-local, with the metadata of clouds
                | (172, 16..=31, _)         // private
                | (192, 0, 0)               // protocol assignments
                | (192, 88, 99)             // relays of 6to4
                | (192, 168, _)             // private
                | (198, 18 | 19, _)         // benchmarks
                | (224..=255, _, _) // multicast, reserved, broadcast
        ))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Only this eighth was ever given out; 2001:0::/23 is for protocols, tunnels among them.
    (0x2000..0x4000).contains(&first) && !(first == 0x2001 && second < 0x0200)
}

/// The IPv4 address that a router on the way would make of it.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => Some(joined(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(joined(high, low)),
        [0x2002, high, low, ..] => Some(joined(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_out_there_is_public() {
        let public = [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "169.253.1.1",
            "192.0.1.1",
            "192.0.2.80",
            "198.51.100.80",
            "203.0.113.80",
            "198.20.0.1",
            "223.255.255.1",
            "2606:4700::1111",
            "2001:4860::8888",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
        let others = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.1",
            "192.0.0.192",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::127.0.0.1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "5f00::1",
            "64:ff9b:1::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:c0a8:101::",
        ];
        for text in others {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }
}
