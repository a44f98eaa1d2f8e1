# Two hosts (network namespaces with a wire between) train with MPI over TCP: the bits of one process; also where the wire takes 5 ms and
# loses a packet in a hundred; and one whose process stands still is named, with the status of a run that is worth another try.
[ "${SO_THOROUGH:-}" ] || { echo "SKIP: two hosts are for --thorough" >&2; exit 77; }
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
[ -f "$(dirname "$SO")/stream-omni-mpi.so" ] || { echo "SKIP: no module for MPI (libopenmpi-dev)" >&2; exit 77; }
for tool in mpirun ip python3 unshare; do
    command -v $tool >/dev/null || { echo "SKIP: no $tool" >&2; exit 77; }
done
a=soa$$ b=sob$$ relay=
clean() {
    [ -z "$relay" ] || kill $relay 2>/dev/null
    ip netns del $a 2>/dev/null
    ip netns del $b 2>/dev/null
}
trap clean EXIT
trap 'exit 130' INT TERM
ip netns add $a 2>/dev/null && ip netns add $b && ip netns exec $a unshare --uts true 2>/dev/null || {
    echo "SKIP: no network namespaces (needs root)" >&2
    exit 77
}
ip netns exec $a ip link set lo up
ip netns exec $b ip link set lo up

"$make" tiny --tiny --seed 5 >/dev/null || exit 1
printf '{"messages":[{"role":"user","content":"Who is it?"},{"role":"assistant","content":"A b c."}]}\n' >talk.jsonl
cat >run.toml <<'TOML'
stage = "text"
model = "tiny/model"
out = "one"
plan.steps = 12
plan.batch_records = 2
plan.slots = 2
log.every = 4
[[data]]
name = "talk"
path = "talk.jsonl"
task = "text"
TOML
"$SO" train run.toml --threads 1 >/dev/null || exit 1

printf '10.77.7.1 slots=1\n10.77.7.2 slots=1\n' >hosts
cat >agent <<AGENT
#!/bin/sh
shift
exec ip netns exec $b unshare --uts sh -c "hostname nodeb; \$*"
AGENT
chmod +x agent
# on_hosts OUT [SETTING...]
on_hosts() {
    out=$1
    shift
    ip netns exec $a unshare --uts sh -c 'hostname nodea; exec "$@"' - env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
        mpirun -np 2 --hostfile hosts --map-by ppr:1:node --mca plm_rsh_agent "$PWD/agent" --mca mpi_yield_when_idle 1 \
        --mca pml ob1 --mca btl self,tcp --mca btl_tcp_if_include 10.77.7.0/24 --mca oob_tcp_if_include 10.77.7.0/24 \
        "$SO" train run.toml --threads 1 --set out="$out" "$@"
}
# crossed: kilobytes that have left
crossed() { echo $(($(ip netns exec $a cat /sys/class/net/wire/statistics/tx_bytes) / 1000)); }

ip link add wire netns $a type veth peer name wire netns $b || exit 1
ip netns exec $a ip addr add 10.77.7.1/24 dev wire && ip netns exec $a ip link set wire up
ip netns exec $b ip addr add 10.77.7.2/24 dev wire && ip netns exec $b ip link set wire up
on_hosts wire >told 2>&1 || { cat told >&2; exit 1; }
cmp one/model/model.safetensors wire/model/model.safetensors && echo "the same bits"
[ "$(crossed)" -gt 500 ] && echo "over the wire"

# the second of two stands still
on_hosts still --set plan.steps=100000 --set ranks.watchdog=10 --set save.every=1 >told 2>&1 &
run=$!
n=0
while [ ! -f still/checkpoint.so ] && [ $n -lt 3000 ]; do sleep 0.02; n=$((n + 1)); done
for pid in $(ip netns pids $b); do
    [ "$(cat /proc/$pid/comm)" = stream-omni ] && kill -STOP $pid
done
wait $run
echo "ended with $?"
sed -n 's/ for [0-9]* s, and/ for so long, and/; s/^error: \(rank 2 of 2 has not come\)/\1/p' told
ip netns exec $a ip link del wire

cat >relay.py <<'PYTHON'
import ctypes, fcntl, heapq, os, random, select, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def wire(space, address):
    fd = os.open("/run/netns/" + space, os.O_RDONLY)
    if libc.setns(fd, 0x40000000): raise OSError(ctypes.get_errno(), "setns")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", b"wire", 0x1001))
    os.system("ip addr add %s/24 dev wire && ip link set wire up" % address)
    return tun
ends = [wire(sys.argv[1], "10.77.7.1"), wire(sys.argv[2], "10.77.7.2")]
random.seed(1)
waiting, n = [], 0
print("up", flush=True)
while True:
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        _, _, to, packet = heapq.heappop(waiting)
        try: os.write(to, packet)
        except OSError: pass
    rest = max(0, waiting[0][0] - now) if waiting else None
    for fd in select.select(ends, [], [], rest)[0]:
        packet = os.read(fd, 65536)
        if random.random() < 0.01: continue
        n += 1
        heapq.heappush(waiting, (time.monotonic() + 0.005, n, ends[1 - ends.index(fd)], packet))
PYTHON
[ -c /dev/net/tun ] || { echo "SKIP: no /dev/net/tun for a slow wire" >&2; exit 77; }
python3 relay.py $a $b >up 2>relay.told &
relay=$!
n=0
while [ ! -s up ] && [ $n -lt 500 ] && kill -0 $relay; do sleep 0.02; n=$((n + 1)); done
on_hosts slow >told 2>&1 || { cat told relay.told >&2; exit 1; }
cmp one/model/model.safetensors slow/model/model.safetensors && echo "the same bits over a slow wire that loses"
