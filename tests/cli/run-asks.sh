# ./run uses sudo only after asking at a terminal; --yes and no terminal do not ask. Everything that it would call is made up.
cp "$ROOT/run" . && mkdir bin && cd bin || exit
printf '#!/bin/sh\necho 1000\n' >id
printf '#!/bin/sh\nexit 1\n' >dpkg-query
printf '#!/bin/sh\nexit 0\n' >apt-get
printf '#!/bin/sh\necho "sudo $*" | cut -c-26 >>called\n' >sudo
printf '#!/bin/sh\nexit 0\n' >cmake
printf '#!/bin/sh\nexit 0\n' >ninja
chmod +x ./*
cd .. || exit
PATH=$(pwd)/bin:$PATH
unset SO_BUILD
# asked ANSWER [ARGUMENT...]: at a terminal
asked() {
    answer=$1
    shift
    rm -rf build called
    mkdir build
    printf '%s\n' "$answer" | script -qec "./run $* build" /dev/null | tr -d '\r' | grep -o -e '\[y/N\]' -e 'not installed'
    cat called 2>/dev/null
}
echo "== no"
asked n
echo "== yes"
asked y
echo "== --yes"
asked '' --yes
echo "== no terminal"
rm -rf build called
mkdir build
./run build 2>/dev/null
cat called
