# What only bash has.
declare -A map=([one]=1 [two]=2 [three]=3); for k in one two three; do echo "$k=${map[$k]}"; done; echo ${#map[@]}
list=(a b "c d" e); echo "${list[2]}" "${#list[@]}" "${list[@]:1:2}"; list+=(f); echo "${list[-1]}"
for ((i = 0; i < 3; i++)); do printf '%d ' $i; done; echo
[[ abc123 =~ ^([a-z]+)([0-9]+)$ ]] && echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
[[ file.txt == *.txt && -n x ]] && echo pattern
diff <(seq 3) <(seq 2 4); echo "diff: $?"
while read -r a b; do echo "$b $a"; done < <(printf '1 2\n3 4\n')
exec {fd}> file; echo "via fd" >&$fd; exec {fd}>&-; cat file
coproc cat; echo "to coproc" >&"${COPROC[1]}"; read -r reply <&"${COPROC[0]}"; echo "$reply"; kill $COPROC_PID; wait $COPROC_PID 2>/dev/null
set -o pipefail; false | true; echo "pipefail $?"; echo "${PIPESTATUS[@]}"; true | false | true; echo "${PIPESTATUS[@]}"
v="Hello World"; echo "${v,,}" "${v^^}" "${v/World/There}" "${v:6:3}" "${v//o/0}"
printf -v out '%s-%s' x y; echo "$out"; mapfile -t lines < <(seq 4); echo "${lines[3]}"
echo {1..5} {a..e} x{1,2}y; echo $((2 ** 40)) $((16#ff)); shopt -s extglob nullglob; echo none*; touch aa ab
echo a@(a|b)
trap 'echo "line error $?"' ERR; false; trap - ERR
f() { local -n ref=$1; ref=changed; }; target=x; f target; echo $target
(set -m; sleep 0.05 & wait $!; echo "job $?")
{ for s in TERM KILL SEGV; do (kill -$s $BASHPID); echo "$s $?"; done; } 2>/dev/null
seq 3 | { read -r x; read -r y; echo $x $y; cat; }
read -r -t 0.05 z < <(sleep 1); echo "read timeout $(($? > 128))"
wait -n < /dev/null; (exit 4) & wait -n; echo "wait -n $?"
for i in {1..50}; do /bin/true & done 2>/dev/null; wait; echo fifty
ulimit -s > /dev/null && echo ulimit; [[ $SECONDS -lt 100 ]] && echo soon; echo ${#BASHPID} > /dev/null; echo "${BASH_VERSINFO[0]}"
printf '%(%Y)T\n' 0; printf '%q\n' "a b'c"; echo $'tab\there' ; cat <<< "here string"
