// Meshes of many cylinders and spheres as one, for addCustom of 3Dmol: its own cylinders cost ten times as much, since each
// looks at all points of its shape, and gets a form for clicks, which are found otherwise here.

const SIDES = 6;
const MOST_POINTS = 60000; // 3Dmol numbers the points of a mesh with 16 bits

const minus = (a, b) => ({ x: a.x - b.x, y: a.y - b.y, z: a.z - b.z });
const scaled = (a, factor) => ({ x: a.x * factor, y: a.y * factor, z: a.z * factor });
const plus = (a, b) => ({ x: a.x + b.x, y: a.y + b.y, z: a.z + b.z });
const cross = (a, b) => ({ x: a.y * b.z - a.z * b.y, y: a.z * b.x - a.x * b.z, z: a.x * b.y - a.y * b.x });
const unit = (a) => scaled(a, 1 / (Math.hypot(a.x, a.y, a.z) || 1));

class Mesh {
  vertexArr = [];
  normalArr = [];
  faceArr = [];

  add(points, normals, faces) {
    const first = this.vertexArr.length;
    this.vertexArr.push(...points);
    this.normalArr.push(...normals);
    for (const corner of faces) this.faceArr.push(first + corner);
  }
}

const SIDE_FACES = Array.from({ length: SIDES }, (_, side) => {
  const next = (side + 1) % SIDES;
  return [2 * side, 2 * next, 2 * side + 1, 2 * side + 1, 2 * next, 2 * next + 1];
}).flat();

function cylinder(mesh, { start, end, radius }) {
  const along = unit(minus(end, start));
  const across = unit(cross(along, Math.abs(along.x) < 0.9 ? { x: 1, y: 0, z: 0 } : { x: 0, y: 1, z: 0 }));
  const up = cross(along, across);
  const points = [];
  const normals = [];
  for (let side = 0; side < SIDES; side++) {
    const angle = (2 * Math.PI * side) / SIDES;
    const normal = plus(scaled(across, Math.cos(angle)), scaled(up, Math.sin(angle)));
    points.push(plus(start, scaled(normal, radius)), plus(end, scaled(normal, radius)));
    normals.push(normal, normal);
  }
  mesh.add(points, normals, SIDE_FACES);
}

// A sphere of 42 points: the corners of an icosahedron and the middles of its edges.
const [BALL, BALL_FACES] = (() => {
  const t = (1 + Math.sqrt(5)) / 2;
  const points = [[-1, t, 0], [1, t, 0], [-1, -t, 0], [1, -t, 0], [0, -1, t], [0, 1, t], [0, -1, -t], [0, 1, -t], [t, 0, -1], [t, 0, 1], [-t, 0, -1], [-t, 0, 1]]
    .map(([x, y, z]) => unit({ x, y, z }));
  const triangles = [
    [0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8],
    [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1],
  ];
  const middles = new Map();
  const middle = (a, b) => {
    const key = a < b ? `${a} ${b}` : `${b} ${a}`;
    if (!middles.has(key)) {
      middles.set(key, points.length);
      points.push(unit(plus(points[a], points[b])));
    }
    return middles.get(key);
  };
  const faces = triangles.flatMap(([a, b, c]) => {
    const [ab, bc, ca] = [middle(a, b), middle(b, c), middle(c, a)];
    return [a, ab, ca, b, bc, ab, c, ca, bc, ab, bc, ca];
  });
  return [points, faces];
})();

function sphere(mesh, { center, radius }) {
  mesh.add(BALL.map((normal) => plus(center, scaled(normal, radius))), BALL, BALL_FACES);
}

function* meshes(forms, form) {
  let mesh = new Mesh();
  for (const one of forms) {
    if (mesh.vertexArr.length > MOST_POINTS) {
      yield mesh;
      mesh = new Mesh();
    }
    form(mesh, one);
  }
  if (mesh.vertexArr.length) yield mesh;
}

/** Meshes of cylinders {start, end, radius}. */
export const cylinders = (forms) => meshes(forms, cylinder);

/** Meshes of spheres {center, radius}. */
export const spheres = (forms) => meshes(forms, sphere);
