//! Which addresses belong to the public internet. Text that anybody can propose must not have this machine ask a neighbour,
//! itself, or the metadata service of its cloud; so a name is resolved here, and what it resolves to is what is connected to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::{TokioResolver, config::LookupIpStrategy};
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::Host;

/// A host that is not on the public internet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is on a private network or on this machine, and the plan is only proposed; a scheduled plan may lead there"
)]
pub struct NotPublic(String);

/// Why a URL must not be asked, as far as it tells by itself: it names an address. Names are for [`PublicResolver`].
pub(super) fn refusal(url: &Url) -> Option<NotPublic> {
    let address = match url.host()? {
        Host::Domain(_) => return None,
        Host::Ipv4(address) => IpAddr::V4(address),
        Host::Ipv6(address) => IpAddr::V6(address),
    };
    (!is_public(address)).then(|| NotPublic(address.to_string()))
}

/// Resolves names as the other clients do, to public addresses only.
#[derive(Debug, Default)]
pub(super) struct PublicResolver;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let mut builder = TokioResolver::builder_tokio()?;
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
            let found: Vec<IpAddr> = builder.build()?.lookup_ip(name.as_str()).await?.iter().collect();
            let public: Vec<_> = found.iter().filter(|address| is_public(**address)).collect();
            if public.is_empty() && !found.is_empty() {
                return Err(NotPublic(format!("{} ({})", name.as_str(), found[0])).into());
            }
            let addresses: Vec<_> = public.into_iter().map(|address| SocketAddr::new(*address, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public internet, by the registries of special addresses (RFC 6890 and its successors).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            // 2000::/3 is what is given out; in it, 2001::/23 (Teredo and others) and 2001:db8::/32 lead nowhere of their own.
            let [first, second, ..] = address.segments();
            let given_out = first & 0xe000 == 0x2000 && !(first == 0x2001 && (second < 0x200 || second == 0xdb8));
            embedded(address).map_or(given_out, is_public_v4)
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// The IPv4 address that an IPv6 address stands for: mapped, translated (`64:ff9b::/96`), or tunnelled (6to4).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bytes = address.octets();
    let at = |place: usize| Some(Ipv4Addr::new(bytes[place], bytes[place + 1], bytes[place + 2], bytes[place + 3]));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => at(12),
        [0x2002, ..] => at(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_public_internet_is_refused_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
            "[2001::1]",
            "[::127.0.0.1]",
        ] {
            let url = Url::parse(&format!("http://{host}:8080/x")).unwrap();
            assert!(refusal(&url).is_some(), "{host}");
        }
        for host in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "[2606:4700::1111]",
            "[2002:101:101::]",
            "example.org",
        ] {
            let url = Url::parse(&format!("https://{host}/x")).unwrap();
            assert_eq!(refusal(&url), None, "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused() {
        let Err(refused) = PublicResolver.resolve("localhost".parse().unwrap()).await else {
            panic!("localhost is no public host")
        };
        assert!(
            refused.downcast_ref::<NotPublic>().is_some_and(|it| it.to_string().contains("localhost (")),
            "{refused}"
        );
    }
}
