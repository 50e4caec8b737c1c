# Here-documents and expansions.
name=world
cat <<END
hello $name $((6 * 7)) $(echo sub) \$name
END
cat <<'END'
hello $name `no`
END
cat <<-END
	tabs are gone
	END
cat <<A; cat <<B
first
A
second
B
tr a-z A-Z <<END | rev
mirror
END
big=$(seq 1 30000); wc -l <<END
$big
END
v=abcdef; echo ${v#a} ${v%f} ${v#*c} ${v%%d*} ${#v} ${v:-x} ${w:-default} ${w:+set}
set -- a "b c" d; echo $# "$2"; shift; echo "$*"; for a in "$@"; do echo "<$a>"; done
IFS=:; set -- $(echo x:y:z); echo "$1-$2-$3"; unset IFS
case file.tar.gz in *.zip) echo zip;; *.tar.*) echo tar;; esac
f() { local a=1; echo "f $1 $a"; return 9; }; f arg; echo $?
i=0; while [ $i -lt 3 ]; do i=$((i + 1)); [ $i = 2 ] && continue; echo $i; done
until [ $i -le 0 ]; do i=$((i - 1)); done; echo $i
eval 'echo evaluated $name'
printf '%5d|%-5s|%05.1f|%x|%c\n' 42 ab 3.14159 255 z
echo $((0x10 + 010)) $((7 / 2)) $((-7 % 3)) $((1 << 10)) $((5 > 3 ? 1 : 2))
test -d / -a ! -f / && echo tests
[ "a" \< "b" ] && echo less
echo "quotes: 'single' \"double\" \\ back"
