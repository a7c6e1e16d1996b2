// What the page knows. Lists of figures come without names; `named` gives them those that the data states.
export const data = {};

export function take(content) {
  Object.assign(data, content);
}

export function named(shape, values) {
  const names = data.shapes[shape];
  if (names.length !== values.length)
    throw new Error(`${shape} has ${names.length} figures, not ${values.length}`);
  return Object.fromEntries(names.map((name, index) => [name, values[index]]));
}

const byModel = (values) => Object.fromEntries(data.models.map((model, index) => [model, values[index]]));

export function curveOf(row) {
  row.points ??= row.curve.map((values) => {
    const point = named("point", values);
    return { ...point, energy: byModel(point.energy) };
  });
  return row.points;
}

// Place of an order among those that ranks are stated for.
export const orderIndex = (by, model) => data.orders.indexOf(by === "energy" ? `energy:${model}` : by);

// Where a row stands under one limit of time steps, with its figures at the last read-out within it.
export function standing(row, values) {
  const found = named("standing", values);
  const point = curveOf(row).find((each) => each.t === found.t);
  return { ...found, point, energy: byModel(found.energy), energyBounds: byModel(found.energyBounds) };
}

export function located(id) {
  for (const board of data.boards) {
    const row = board.rows.find((each) => each.id === id);
    if (row) return { board, row };
  }
  return null;
}

export const reference = () => data.models[0];
export const groups = () => Object.keys(data.groups);
export const unique = (values) => [...new Set(values)];
