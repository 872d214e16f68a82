//! Interpreters, just-in-time compilers and compilers.

use crate::common::Kiln;
use crate::{image, run};

#[test]
fn python_with_threads_sqlite_and_json() {
    let script = "
import hashlib, json, sqlite3, threading
sums, lock = [], threading.Lock()
def work(n):
    digest = hashlib.sha256(b'abc' * (n == 0)).hexdigest()
    with lock:
        sums.append(digest)
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(sums), sorted(set(sums)))
database = sqlite3.connect('/tmp/rows.db')
database.execute('create table rows (n integer primary key, word text)')
database.executemany('insert into rows values (?, ?)', ((n, f'row {n}') for n in range(1000)))
database.commit()
print(database.execute('select count(*), sum(n), max(word) from rows where n % 2').fetchone())
print(json.dumps(json.loads('{\"b\": [1, 2.5e10, null, true], \"a\": \"\\\\u00e9\"}'), sort_keys=True))
";
    // The digests of \"abc\" and of nothing: FIPS 180-4's example, and RFC 6234's.
    let expected = "8 ['ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', \
                    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855']\n\
                    (500, 250000, 'row 999')\n\
                    {\"a\": \"\\u00e9\", \"b\": [1, 25000000000.0, null, true]}";
    assert_eq!(run("python", &["python3", "-c", script]), expected);
}

/// A TLS server and its client, who checks the server's certificate.
#[test]
fn python_with_ssl() {
    let script = "
import socket, ssl, subprocess, threading
subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                '-nodes', '-keyout', '/tmp/key', '-out', '/tmp/cert', '-days', '2',
                '-subj', '/CN=kiln.test', '-addext', 'subjectAltName=DNS:kiln.test'],
               check=True, stderr=subprocess.DEVNULL)
server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server.load_cert_chain('/tmp/cert', '/tmp/key')
listener = socket.create_server(('127.0.0.1', 0))
def serve(name):
    with server.wrap_socket(listener.accept()[0], server_side=True) as connection:
        connection.sendall(connection.recv(100).upper())
def call(name):
    thread = threading.Thread(target=serve, args=(name,))
    thread.start()
    client = ssl.create_default_context(cafile='/tmp/cert')
    try:
        with client.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname=name) as tls:
            tls.sendall(b'hello')
            print(tls.version(), tls.recv(100).decode())
    finally:
        thread.join()
call('kiln.test')
threading.excepthook = lambda _: None
try:
    call('other.test')
except ssl.SSLCertVerificationError as error:
    print(error.verify_message)
";
    let expected = "TLSv1.3 HELLO\n\
                    Hostname mismatch, certificate is not valid for 'other.test'.";
    assert_eq!(run("python", &["python3", "-c", script]), expected);
}

#[test]
fn perl() {
    let script = r#"
use strict; use warnings;
use Digest::SHA 'sha1_hex'; use JSON::PP; use Math::BigInt;
my %count; $count{$_}++ for "the quick brown fox jumps over the lazy dog" =~ /\w/g;
print join(",", map { "$_$count{$_}" } grep { $count{$_} > 2 } sort keys %count), "\n";
print sha1_hex("abc"), "\n", Math::BigInt->new(30)->bfac, "\n";
print JSON::PP->new->canonical->encode({ list => [1, "two", undef], half => 0.5 }), "\n";
pipe(my $reader, my $writer); my $child = fork;
if (!$child) { print $writer "from a child\n"; exit 3 }
close $writer; print <$reader>; waitpid $child, 0; print $? >> 8, "\n";
"#;
    // The digest is FIPS 180-4's example; 30! is OEIS A000142(30).
    let expected = "e3,o4\na9993e364706816aba3e25717850c26c9cd0d89d\n\
                    265252859812191058636308480000000\n\
                    {\"half\":0.5,\"list\":[1,\"two\",null]}\nfrom a child\n3";
    assert_eq!(run("perl", &["perl", "-e", script]), expected);
}

/// Long enough for the optimising compiler to take over; workers share memory.
#[test]
fn node() {
    let script = r#"
const { Worker } = require('worker_threads');
const http = require('http');
const sieve = new Uint8Array(1000000);
let primes = 0;
for (let n = 2; n < sieve.length; n++) {
  if (sieve[n]) continue;
  primes++;
  for (let m = 2 * n; m < sieve.length; m += n) sieve[m] = 1;
}
console.log(process.arch, primes);
let factorial = 1n;
for (let n = 1n; n <= 30n; n++) factorial *= n;
console.log(String(factorial), require('crypto').createHash('sha256').update('abc').digest('hex'));
const shared = new Int32Array(new SharedArrayBuffer(4));
const work = "const { workerData } = require('worker_threads');" +
  "for (let n = 0; n < 20000; n++) Atomics.add(workerData, 0, 1)";
const ends = [1, 2].map(() => new Promise(end =>
  new Worker(work, { eval: true, workerData: shared }).on('exit', end)));
Promise.all(ends).then(codes => {
  console.log(codes.join(), shared[0]);
  const server = http.createServer((request, response) => response.end('you asked for ' + request.url));
  server.listen(0, () => http.get({ port: server.address().port, path: '/this' }, response => {
    response.on('data', data => console.log(response.statusCode, String(data)));
    response.on('end', () => server.close());
  }));
});
"#;
    // There are 78498 primes below a million (OEIS A006880).
    let expected = "arm64 78498\n265252859812191058636308480000000 \
                    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\
                    0,0 40000\n200 you asked for /this";
    assert_eq!(run("node", &["node", "-e", script]), expected);
}

/// A program in Go, as its documentation shows it.
#[test]
fn esbuild() {
    let kiln = Kiln::new();
    let args = ["run", "--rm", "-i", &image("esbuild"), "--loader=ts"];
    let output = kiln.feed(&args, b"let x: number = 1");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "let x = 1;\n");
}

/// A class that the image's own compiler made; see its source in the recipe.
#[test]
fn openjdk() {
    let kiln = Kiln::new();
    let image = image("openjdk");
    // 20! is OEIS A000142(20).
    let expected = "Hello from aarch64: 4 threads counted to 40000, 20! = 2432902008176640000";
    assert_eq!(kiln.text(&["run", "--rm", &image]), expected);
    // The interpreter alone, and compiled from the first call on.
    for mode in ["-Xint", "-Xcomp"] {
        let args = ["run", "--rm", &image, "java", mode, "-XX:TieredStopAtLevel=1", "Hello"];
        assert_eq!(kiln.text(&args), expected, "{mode}");
    }
}

#[test]
fn gcc() {
    let program = r#"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
static atomic_int primes;
static void *count(void *rest) {
    for (long n = (long)rest; n < 100000; n += 4) {
        int prime = n > 1;
        for (long d = 2; d <= (long)sqrt(n) && prime; d++) prime = n % d != 0;
        primes += prime;
    }
    return 0;
}
int main(void) {
    pthread_t threads[4];
    for (long n = 0; n < 4; n++) pthread_create(&threads[n], 0, count, (void *)n);
    for (int n = 0; n < 4; n++) pthread_join(threads[n], 0);
    printf("%d %.15f %zu\n", primes, 4 * atan(1), sizeof(void *));
}
"#;
    let script =
        "cat > /tmp/p.c && gcc -O2 -Wall -Werror -pthread -o /tmp/p /tmp/p.c -lm && /tmp/p";
    let kiln = Kiln::new();
    let args = ["run", "--rm", "-i", &image("gcc"), "bash", "-c", script];
    let output = kiln.feed(&args, program.as_bytes());
    // There are 9592 primes below a hundred thousand (OEIS A006880).
    assert_eq!(String::from_utf8_lossy(&output.stdout), "9592 3.141592653589793 8\n", "{output:?}");
    assert!(output.status.success());
}
