# Pipes, their statuses, and subshells.
echo one two three | tr ' ' '\n' | sort -r | cat -n
seq 1 1000 | awk '{ s += $1 } END { print s }'
yes | head -n 3
echo "status of a pipe: $(false | true; echo $?) $(true | false; echo $?)"
( cd / && pwd; x=inner; exit 7 ); echo "subshell $? ${x:-unset}"
x=$(printf 'a\nb\n\n\n'); printf '[%s]\n' "$x"
echo $(echo $(echo $(echo deep)))
{ echo out; echo err >&2; } 2>&1 | sort
seq 5 | while read n; do echo "n=$n"; done | tac
(echo first; sleep 0.05; echo second) | cat
seq 20000 | sort -rn | head -n 2 | paste -s -d, -
dd if=/dev/zero bs=1000 count=300 2>/dev/null | wc -c
echo data > f; cat < f | cat - f | wc -l
exec 3> three; echo to three >&3; exec 3>&-; cat three
exec 4< three; read line <&4; echo "read: $line"; exec 4<&-
mkfifo fifo; (echo through the fifo > fifo) & cat fifo; wait
head -c 100000 /dev/zero | tr '\0' x | wc -c
