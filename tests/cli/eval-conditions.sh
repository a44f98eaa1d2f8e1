# Conditions of the tabletop world: the rows of the table; what lies outside of it is put to the shipped model, the rest
# to one with random weights. A condition that nothing fits, and one that is none.
# SPDX-License-Identifier: Apache-2.0
$SO train tabletop there --part vocabulary --threads 1 >/dev/null || exit
$SO train tabletop there --part model --threads 1 >/dev/null || exit
$SO data tabletop corpus --reserved --mute --scenes 2 --turns 2 --talk 3 --seed 4 >/dev/null || exit
ask="$SO eval tabletop corpus --model there/model --threads 2"
$SO eval tabletop corpus --threads 2 --condition outside --items 5 --details details 2>/dev/null | sed 's/  *[0-9.]* %.*//; s/  *$//'
sed 's/.*"condition": "\([^"]*\)".*"kind": "\([^"]*\)".*/\1, \2/' details | sort
$ask --condition long --turns 12 --items 20 --modes 'V+T>T,T>T' 2>/dev/null | sed 's/  *[0-9.]* %.*//; s/  *$//'
$ask --condition long --turns 2 --items 2 --modes 'T>T' --json 2>/dev/null | tr -d ' \n' | sed 's/,"right.*//'
echo
$ask --condition noise
$ask --condition loud
