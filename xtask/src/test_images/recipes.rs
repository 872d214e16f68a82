//! What is in each image, and how it starts: as Docker's official image of that name where there is one.

/// One image.
pub(super) struct Recipe {
    /// Its tag in the layout.
    pub(super) tag: &'static str,
    /// Packages to install.
    pub(super) packages: &'static [&'static str],
    /// Files that are there before the packages are.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// A shell script that runs in the root afterwards.
    pub(super) script: &'static str,
    /// The image's configuration, as arguments of `umoci config`.
    pub(super) config: &'static [&'static str],
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Threads that contend for a monitor, a lambda, a stream and big numbers.
const HELLO: &str = r#"
import java.math.BigInteger;
import java.util.stream.LongStream;

public class Hello {
    static int count;

    public static void main(String[] arguments) throws InterruptedException {
        Object monitor = new Object();
        Thread[] threads = new Thread[4];
        for (int t = 0; t < threads.length; t++) {
            threads[t] = new Thread(() -> {
                for (int n = 0; n < 10000; n++) {
                    synchronized (monitor) {
                        count++;
                    }
                }
            });
            threads[t].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        BigInteger factorial = LongStream.rangeClosed(1, 20)
            .mapToObj(BigInteger::valueOf).reduce(BigInteger.ONE, BigInteger::multiply);
        System.out.println("Hello from " + System.getProperty("os.arch") + ": " + threads.length
            + " threads counted to " + count + ", 20! = " + factorial);
    }
}
"#;

/// The image that the others begin with.
pub(super) const BASE: Recipe = Recipe {
    tag: "debian",
    packages: &["apt"],
    files: &[],
    script: "",
    config: &["--config.env", PATH, "--config.cmd", "bash"],
};

/// Those that take longest first.
pub(super) const PROGRAMS: &[Recipe] = &[
    Recipe {
        tag: "postgres",
        packages: &["postgresql-15"],
        files: &[
            ("etc/postgresql-common/createcluster.conf", "create_main_cluster = false\n"),
            (
                "usr/local/bin/docker-entrypoint.sh",
                "#!/bin/sh
set -e
if [ \"$1\" = postgres ] && [ ! -s \"$PGDATA/PG_VERSION\" ]; then
    initdb --username=postgres --auth=trust
fi
exec \"$@\"
",
            ),
        ],
        script: "chmod 755 /usr/local/bin/docker-entrypoint.sh
                 install -d -m 700 -o postgres -g postgres /var/lib/postgresql/data",
        config: &[
            "--config.env",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin",
            "--config.env",
            "LANG=C.UTF-8",
            "--config.env",
            "PGDATA=/var/lib/postgresql/data",
            "--config.user",
            "postgres",
            "--config.volume",
            "/var/lib/postgresql/data",
            "--config.entrypoint",
            "docker-entrypoint.sh",
            "--config.cmd",
            "postgres",
            "--config.exposedports",
            "5432/tcp",
            "--config.stopsignal",
            "SIGINT",
        ],
    },
    // The runtime, and a compiler written in Java: a fraction of the size of Debian's JDK. It compiles in
    // QEMU, where it is quicker without the optimising compiler.
    Recipe {
        tag: "openjdk",
        packages: &["openjdk-17-jre-headless", "libecj-java"],
        files: &[("app/Hello.java", HELLO)],
        script: "cd /app
                 java -XX:TieredStopAtLevel=1 -cp /usr/share/java/eclipse-ecj.jar \
                      org.eclipse.jdt.internal.compiler.batch.Main -10 Hello.java",
        config: &["--config.workingdir", "/app", "--config.cmd", "java", "--config.cmd", "Hello"],
    },
    Recipe {
        tag: "python",
        packages: &["openssl", "python3"],
        files: &[],
        script: "",
        config: &["--config.cmd", "python3"],
    },
    Recipe {
        tag: "nginx",
        packages: &["nginx-light", "wget"],
        files: &[],
        script: "ln -sf /dev/stdout /var/log/nginx/access.log
                 ln -sf /dev/stderr /var/log/nginx/error.log",
        config: &[
            "--config.cmd",
            "nginx",
            "--config.cmd",
            "-g",
            "--config.cmd",
            "daemon off;",
            "--config.exposedports",
            "80/tcp",
            "--config.stopsignal",
            "SIGQUIT",
        ],
    },
    Recipe {
        tag: "redis",
        packages: &["redis-server"],
        files: &[],
        script: "install -d -o redis -g redis /data",
        config: &[
            "--config.user",
            "redis",
            "--config.workingdir",
            "/data",
            "--config.volume",
            "/data",
            "--config.cmd",
            "redis-server",
            "--config.exposedports",
            "6379/tcp",
        ],
    },
    Recipe {
        tag: "perl",
        packages: &["perl"],
        files: &[],
        script: "",
        config: &["--config.cmd", "perl", "--config.cmd", "-de0"],
    },
    Recipe {
        tag: "node",
        packages: &["nodejs"],
        files: &[],
        script: "",
        config: &["--config.cmd", "node"],
    },
    Recipe {
        tag: "gcc",
        packages: &["gcc", "libc6-dev"],
        files: &[],
        script: "",
        config: &["--config.cmd", "bash"],
    },
    // A program in Go, which runs on all processors.
    Recipe {
        tag: "esbuild",
        packages: &["esbuild"],
        files: &[],
        script: "",
        config: &["--config.entrypoint", "esbuild"],
    },
    Recipe {
        tag: "busybox",
        packages: &["busybox"],
        files: &[],
        // Over the programs of the same names: the image is busybox's alone.
        script: "busybox --install -s /usr/local/bin",
        config: &["--config.cmd", "sh"],
    },
];
