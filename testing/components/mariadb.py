"""A MariaDB server without privilege tables: anybody may connect as anybody, and there is nothing to install."""

from components.daemon import Daemon


class MariaDb(Daemon):
    """`arguments` are MySQLdb.connect's."""

    @property
    def arguments(self):
        return {"host": "127.0.0.1", "port": self.port, "user": "greenring"}

    def command(self):
        return ["/usr/sbin/mariadbd", "--no-defaults", "--skip-grant-tables", f"--datadir={self.directory}",
                f"--socket={self.directory}/socket", f"--port={self.port}", "--bind-address=127.0.0.1",
                "--innodb-buffer-pool-size=8M", "--innodb-flush-log-at-trx-commit=0"]

    def answers(self):
        import MySQLdb

        MySQLdb.connect(**self.arguments).close()
        return True
