"""HTTPS_PROXY and NO_PROXY, as rules."""

import pytest

from faregate.wire.proxies import Proxies, Proxy, parse_proxy, proxies_from


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("proxy.example", 3128)),
        ("http://proxy.example", Proxy("proxy.example", 80)),
        ("http://proxy.example/", Proxy("proxy.example", 80)),
        ("proxy.example:3128", Proxy("proxy.example", 3128)),
        ("http://[::1]:3128", Proxy("::1", 3128)),
        ("http://u:p@proxy.example:3128", Proxy("proxy.example", 3128, "Basic dTpw")),
        ("http://u@proxy.example", Proxy("proxy.example", 80, "Basic dTo=")),
        ("http://u%40x:p%3Ay@proxy.example", Proxy("proxy.example", 80, "Basic dUB4OnA6eQ==")),
    ],
)
def test_urls(url: str, proxy: Proxy) -> None:
    assert parse_proxy(url) == proxy


@pytest.mark.parametrize("url", ["https://proxy.example", "socks5://proxy.example", "http://", "http://:80", "ftp://x"])
def test_urls_that_name_no_proxy(url: str) -> None:
    with pytest.raises(ValueError, match="a proxy is"):
        parse_proxy(url)


def test_a_port_that_is_none() -> None:
    for url in ("http://proxy.example:port", "http://proxy.example:99999"):
        with pytest.raises(ValueError, match=r"[Pp]ort"):
            parse_proxy(url)


def test_the_environment() -> None:
    assert proxies_from({}) == Proxies()
    assert proxies_from({"HTTP_PROXY": "http://x"}) == Proxies()
    small = proxies_from({"https_proxy": "http://small:1", "no_proxy": " a.example , ,B.example"})
    assert small == Proxies(https=Proxy("small", 1), exempt=("a.example", "b.example"))
    both = proxies_from({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:2"})
    assert both.https == Proxy("large", 2)
    assert proxies_from({"HTTPS_PROXY": "", "https_proxy": ""}) == Proxies()


@pytest.mark.parametrize(
    ("rules", "host", "goes_through"),
    [
        ("", "api.example", True),
        ("", "localhost", False),
        ("", "127.0.0.1", False),
        ("", "127.9.9.9", False),
        ("", "::1", False),
        ("", "10.0.0.1", True),
        ("*", "api.example", False),
        ("api.example", "api.example", False),
        ("API.Example", "api.example", False),
        ("api.example", "API.EXAMPLE", False),
        ("api.example", "deep.api.example", False),
        ("api.example", "notapi.example", True),
        ("api.example", "api.example.evil", True),
        (".example", "api.example", False),
        (".example", "example", False),
        (".example", "anexample", True),
        ("10.0.0.0/8", "10.1.2.3", False),
        ("10.0.0.0/8", "11.1.2.3", True),
        ("10.0.0.0/8", "api.example", True),
        ("10.1.2.3", "10.1.2.3", False),
        ("10.1.2.3/8", "10.9.9.9", False),
        ("2001:db8::/32", "2001:db8::1", False),
        ("2001:db8::/32", "10.0.0.1", True),
        ("other.example, api.example", "api.example", False),
    ],
)
def test_exemptions(rules: str, host: str, goes_through: bool) -> None:
    proxies = proxies_from({"HTTPS_PROXY": "http://proxy.example:1", "NO_PROXY": rules})
    assert (proxies.proxy_for(host) is not None) == goes_through


def test_no_proxy_is_no_proxy() -> None:
    assert Proxies().proxy_for("api.example") is None


def test_the_secret_stays_out_of_sight() -> None:
    proxy = parse_proxy("http://user:hunter2@proxy.example:3128")
    assert repr(proxy) == "Proxy(proxy.example:3128)"
    assert "hunter2" not in str(Proxies(https=proxy))
