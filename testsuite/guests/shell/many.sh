# External commands, many of them: the caller looks at us at "ready" lines.
i=0; while [ $i -lt 20 ]; do env true; i=$((i + 1)); done
echo ready; read go
i=0; bad=0
while [ $i -lt 2000 ]; do env true || bad=$((bad + 1)); i=$((i + 1)); done
echo ready; read go
echo "done $i bad $bad"
