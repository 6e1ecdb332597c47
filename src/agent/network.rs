//! `node-agent network`: the network beneath the mesh, on a machine where nobody else brings it up. `lo`, and the address
//! that the environment names; running it again changes nothing.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use log::info;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::Failure;
use super::wg::{Changes, Error, Link, Links};

/// How long an interface may take to appear: a USB or virtual one takes a few seconds after boot.
const LIMIT: Duration = Duration::from_secs(30);

/// Brings `lo` up, and the interface with the address of NODE_ADDRESS if that is set. Exit 78 if the environment makes no
/// sense, 1 if the interface did not appear.
pub fn network() -> Result<(), Failure> {
    let wish = Wish::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .map_err(|cause| Failure::configuration(format!("unable to use the environment: {cause}; correct it")))?;
    let done = Builder::new_current_thread().enable_all().build().map(|runtime| runtime.block_on(bring_up(wish)));
    done.unwrap_or_else(|cause| Err(failed("start", Error::Refused("unable to make a runtime".to_owned(), cause))))
}

/// What the environment asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    address: Option<(Ipv4Addr, u8)>,
    interface: Option<String>,
    gateway: Option<Ipv4Addr>,
}

impl Wish {
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Wish, String> {
        let address = match variable("NODE_ADDRESS") {
            Some(text) => Some(
                with_prefix(&text)
                    .ok_or(format!("NODE_ADDRESS is {text:?}, which is no IPv4 address with a prefix (10.0.0.1/24)"))?,
            ),
            None => None,
        };
        let gateway = match variable("NODE_GATEWAY") {
            Some(text) => {
                Some(text.parse().map_err(|_| format!("NODE_GATEWAY is {text:?}, which is no IPv4 address"))?)
            }
            None => None,
        };
        let interface = variable("NODE_INTERFACE");
        if address.is_none() && gateway.is_some() {
            return Err("NODE_GATEWAY is set and NODE_ADDRESS is not, so there is no way to it".to_owned());
        }
        Ok(Wish { address, interface, gateway })
    }
}

fn with_prefix(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix))?;
    Some((address.parse().ok()?, prefix))
}

async fn bring_up(wish: Wish) -> Result<(), Failure> {
    let links = Links::open().map_err(|cause| failed("read the links", refused(cause)))?;
    let lo = links.find("lo").await.map_err(|cause| failed("read the links", refused(cause)))?;
    if let Some(lo) = lo.filter(|lo| !lo.up) {
        links.set_up(lo.index).await.map_err(|cause| failed("bring lo up", refused(cause)))?;
    }
    let Some((address, prefix)) = wish.address else { return Ok(()) };
    let link = wait(&links, wish.interface.as_deref()).await?;
    let name = &link.name;
    if !link.up {
        links.set_up(link.index).await.map_err(|cause| failed(&format!("bring {name} up"), refused(cause)))?;
    }
    let added = links.add_address(link.index, address, prefix).await;
    added.map_err(|cause| failed(&format!("give {name} the address {address}/{prefix}"), refused(cause)))?;
    if let Some(gateway) = wish.gateway {
        let set = links.set_default_route(link.index, gateway).await;
        set.map_err(|cause| {
            let what = format!("set the default route over {gateway} on {name}");
            match cause.raw_os_error() {
                Some(libc::ENETUNREACH) => Failure::configuration(format!(
                    "unable to {what}: it is not in the network of {address}/{prefix}; correct NODE_GATEWAY or NODE_ADDRESS"
                )),
                _ => failed(&what, refused(cause)),
            }
        })?;
    }
    let over = wish.gateway.map(|gateway| format!(", default route over {gateway}")).unwrap_or_default();
    info!("{name} is up: {address}/{prefix}{over}");
    Ok(())
}

/// The interface, once it is there.
async fn wait(links: &Links, wanted: Option<&str>) -> Result<Link, Failure> {
    // Subscribed before the first look: what appears in between is not missed.
    let mut changes = Changes::listen(wanted).map_err(|error| failed("listen for links", error))?;
    let found = async {
        loop {
            let all = links.all().await.map_err(|cause| failed("read the links", refused(cause)))?;
            if let Some(link) = chosen(all, wanted) {
                return Ok(link);
            }
            if !changes.next().await {
                let ended = Error::Refused("hearing of links".to_owned(), io::ErrorKind::BrokenPipe.into());
                return Err(failed("wait for an interface", ended));
            }
        }
    };
    timeout(LIMIT, found).await.unwrap_or_else(|_| {
        let text = match wanted {
            Some(name) => format!(
                "unable to find the interface {name}: it did not appear within {} s; correct NODE_INTERFACE, or load its driver",
                LIMIT.as_secs()
            ),
            None => format!(
                "unable to find an interface: no Ethernet interface appeared within {} s; load its driver, or name another kind with NODE_INTERFACE",
                LIMIT.as_secs()
            ),
        };
        Err(Failure { code: 1, text })
    })
}

/// The link of that name; without a name the first that is Ethernet and not made by software on this host.
fn chosen(links: Vec<Link>, wanted: Option<&str>) -> Option<Link> {
    let fits = |link: &Link| match wanted {
        Some(name) => link.name == name,
        None => link.ethernet && matches!(link.kind.as_deref(), None | Some("veth" | "macvlan" | "ipvlan")),
    };
    links.into_iter().filter(fits).min_by_key(|link| link.index)
}

fn refused(cause: io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Error::Denied,
        _ => Error::Refused("the kernel refused it".to_owned(), cause),
    }
}

fn failed(what: &str, error: Error) -> Failure {
    let next = if matches!(error, Error::Refused(..)) { "; running it again goes on from here" } else { "" };
    Failure { code: error.exit_code(), text: format!("unable to {what}: {error}{next}") }
}

#[cfg(test)]
mod tests {
    use super::{Link, Wish, chosen};

    fn wish(variables: &[(&str, &str)]) -> Result<Wish, String> {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Wish::read(find)
    }

    fn link(index: u32, name: &str, kind: Option<&str>, ethernet: bool) -> Link {
        let kind = kind.map(str::to_owned);
        Link { index, name: name.to_owned(), kind, alias: None, up: false, mtu: None, ethernet }
    }

    #[test]
    fn nothing_asked_is_nothing_but_lo() {
        assert_eq!(wish(&[]), Ok(Wish { address: None, interface: None, gateway: None }));
        assert!(wish(&[("NODE_INTERFACE", "eth1")]).is_ok());
    }

    #[test]
    fn an_address_and_a_gateway_are_read() {
        let read = wish(&[("NODE_ADDRESS", "10.0.0.1/24"), ("NODE_GATEWAY", "10.0.0.254")]).expect("a wish");
        assert_eq!(read.address, Some(("10.0.0.1".parse().expect("an address"), 24)));
        assert_eq!(read.gateway, Some("10.0.0.254".parse().expect("an address")));
    }

    #[test]
    fn nonsense_names_the_variable_and_what_it_should_be() {
        for text in ["10.0.0.1", "10.0.0.1/33", "10.0.0.1/0", "10.0.0/24", "fd00::1/64", "dhcp"] {
            let expected = format!("NODE_ADDRESS is {text:?}, which is no IPv4 address with a prefix (10.0.0.1/24)");
            assert_eq!(wish(&[("NODE_ADDRESS", text)]), Err(expected));
        }
        assert_eq!(
            wish(&[("NODE_ADDRESS", "10.0.0.1/24"), ("NODE_GATEWAY", "router")]),
            Err("NODE_GATEWAY is \"router\", which is no IPv4 address".to_owned())
        );
        assert_eq!(
            wish(&[("NODE_GATEWAY", "10.0.0.254")]),
            Err("NODE_GATEWAY is set and NODE_ADDRESS is not, so there is no way to it".to_owned())
        );
    }

    #[test]
    fn the_first_ethernet_interface_is_chosen() {
        let links = || {
            vec![
                link(1, "lo", None, false),
                link(2, "docker0", Some("bridge"), true),
                link(5, "eth1", None, true),
                link(4, "eth0", None, true),
                link(3, "tun0", Some("tun"), false),
            ]
        };
        assert_eq!(chosen(links(), None).map(|link| link.name).as_deref(), Some("eth0"));
        assert_eq!(chosen(links(), Some("docker0")).map(|link| link.name).as_deref(), Some("docker0"));
        assert_eq!(chosen(links(), Some("eth9")), None);
        assert_eq!(chosen(vec![link(1, "lo", None, false)], None), None);
    }
}
