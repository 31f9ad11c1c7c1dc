"""Which user a container runs as: --user, then `drop`, then the image's, then nobody."""

from __future__ import annotations

import pytest

from drop.images.account import Account, account_of
from drop.images.faults import ImageError

PASSWD = """root:x:0:0:root:/root:/bin/sh
web:x:33:34::/srv/www:/bin/sh
odd:x:seven:7::/:/bin/sh
short:x:1
homeless:x:40:40::relative:/bin/sh
"""
DROP = "drop:x:1234:1235::/home/drop:/bin/sh\n"
GROUP = "root:x:0:\nadm:x:4:web,other\nweb:x:34:web\ndisk:x:6:drop\n"


@pytest.mark.parametrize(
    ("chosen", "named", "passwd", "account"),
    [
        (None, "", "", Account(65534, 65534)),
        (None, "", PASSWD, Account(65534, 65534)),
        (None, "web", PASSWD, Account(33, 34, (4,), "/srv/www")),
        (None, "root", PASSWD, Account(0, 0, (), "/root")),
        (None, "web", PASSWD + DROP, Account(1234, 1235, (6,), "/home/drop")),
        ("root", "web", PASSWD + DROP, Account(0, 0, (), "/root")),
        ("0", "", "", Account(0, 0)),
        ("33", "", PASSWD, Account(33, 34, (4,), "/srv/www")),
        ("33:adm", "", PASSWD, Account(33, 4, (), "/srv/www")),
        ("5000:6000", "", PASSWD, Account(5000, 6000)),
        ("5000", "", PASSWD, Account(5000, 0)),
        ("homeless", "", PASSWD, Account(40, 40, (), "/")),
    ],
)
def test_the_account(chosen: str | None, named: str, passwd: str, account: Account) -> None:
    assert account_of(chosen, named, passwd, GROUP) == account


@pytest.mark.parametrize("chosen", ["nobody-here", "odd", "short", "-1", "4294967295", "web:none"])
def test_a_user_that_the_image_does_not_have(chosen: str) -> None:
    with pytest.raises(ImageError, match="--user a number"):
        account_of(chosen, "", PASSWD, GROUP)
