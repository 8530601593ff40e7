"""Writes deploy/users.acl anew, or shows the same for another deployment:

    python -m deploy.redis_users --show --prefix other --broker-db 5 --queue reports > users.acl

tests/unit/deploy/test_redis_users.py holds the file to the code.
"""

import argparse
import sys
from pathlib import Path

from deploy.redis_users.acl_file import BROKER_DB, acl_file
from deploy.redis_users.roles import ROLES
from memory.keys import DEFAULT_PREFIX

USERS_ACL = Path(__file__).resolve().parents[1] / "users.acl"


def main() -> None:
    """Write or show the file."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.redis_users",
        description=__doc__,
        epilog="\n".join(f"{role.name}: {role.purpose}" for role in ROLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--show", action="store_true", help="print it instead of writing the file")
    parser.add_argument("--prefix", default=DEFAULT_PREFIX, help="REDIS_KEY_PREFIX")
    parser.add_argument("--broker-db", type=int, default=BROKER_DB, help="db of CELERY_BROKER_URL")
    parser.add_argument("--queue", action="append", default=[], help="one more queue of jobs")
    given = parser.parse_args()
    if given.show:
        text = acl_file(given.prefix, broker_db=given.broker_db, queues=given.queue)
        sys.stdout.write(text)
    else:
        USERS_ACL.write_text(acl_file())


if __name__ == "__main__":
    main()
