# Which kernels the machine gets: named, measured and kept, and what a measurement without gain changes.
export SO_CPU_CACHE=$PWD/cache/cpu
case $(uname -m) in x86_64) ;; *) echo "SKIP: nothing is measured on $(uname -m)" >&2; exit 77 ;; esac
grep -qw avx2 /proc/cpuinfo || { echo "SKIP: this machine has nothing to choose from" >&2; exit 77; }
first() { sed -n "s/.*choice: \(not measured\|measured [a-z]*\).*/\1/p"; }
$SO inspect --machine | first
$SO inspect --machine | first
sed -i 's/^bf16 .*/bf16 0.500/; s/^wide.elements .*/wide.elements 0.100/' cache/cpu
$SO inspect --machine | tail -1
below=c
grep -qw avx512_bf16 /proc/cpuinfo && below=avx2
$SO bench --tables --json --repeats 1 >found
grep '"unary"' found | grep -c "\"used\": \"$below\""
grep -c '"entry"' found
SO_CPU=c $SO inspect --machine
SO_CPU=amx-plain $SO inspect --machine
SO_CPU_CACHE=off $SO inspect --machine | first
# A unit that is not there is told by name and reason.
grep -qw amx_tile /proc/cpuinfo || SO_CPU=amx $SO inspect --machine 2>told
grep -qw amx_tile /proc/cpuinfo || grep -c "SO_CPU is 'amx' (.*); the kernels of this machine are c" told
grep -qw amx_tile /proc/cpuinfo && echo 1
$SO inspect --machine somewhere
