"""SlowNames: mixed into a ServerCase whose server is to ask a slow name server.

It has a mount namespace of its own, where resolv.conf names that one. Skipped where that is not allowed.
"""

import subprocess
import tempfile
import unittest

from components import SlowDns
from components.dns import ADDRESS


class SlowNames:
    name_delay_s = 0.5

    @classmethod
    def setUpClass(cls):
        try:
            dns = SlowDns(delay_s=cls.name_delay_s).start()
        except OSError as error:
            raise unittest.SkipTest(f"cannot listen on {ADDRESS}:53: {error}")
        cls.addClassCleanup(dns.stop)
        made = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
        if made.returncode != 0:
            raise unittest.SkipTest(f"no mount namespace: {made.stderr.strip()}")
        resolver = tempfile.NamedTemporaryFile("w", prefix="greenring-e2e-")
        cls.addClassCleanup(resolver.close)
        resolver.write(f"nameserver {ADDRESS}\n")
        resolver.flush()
        cls.prefix = ("unshare", "--mount", "sh", "-c", f'mount --bind {resolver.name} /etc/resolv.conf && exec "$0" "$@"')
        super().setUpClass()
