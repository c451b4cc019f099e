import { getMetadataStorage, type ValidationArguments, ValidationTypes } from 'class-validator';

type Rule = (instance: object) => boolean;

/** The fields that a class knows, and their rules. */
interface Rules {
  readonly fields: ReadonlySet<string>;
  readonly all: readonly Rule[];
}

const known = new WeakMap<new () => object, Rules | undefined>();

/**
 * Whether an instance obeys the rules of its class, by class-validator's own constraints, which are looked up once for each
 * class: class-validator goes through the rules of all classes there are at each call. `false` only means that it has to be
 * asked: it writes the errors, and knows what is not a matter of one value (nested objects, optional fields, promises).
 * @param strict whether a field that the class does not know breaks the rules.
 */
export function quicklyValid(type: new () => object, instance: object, strict: boolean): boolean {
  if (!known.has(type)) known.set(type, rulesOf(type));
  const rules = known.get(type);
  if (!rules) return false;
  if (strict) for (const field in instance) if (!rules.fields.has(field)) return false;
  return rules.all.every((obeys) => obeys(instance));
}

function rulesOf(type: new () => object): Rules | undefined {
  const storage = getMetadataStorage();
  const all: Rule[] = [];
  const fields = new Set<string>();
  for (const metadata of storage.getTargetValidationMetadatas(type, '', false, false)) {
    const { propertyName: property, each, constraints, validateIf } = metadata;
    const [constraint, ...more] = storage.getTargetValidatorConstraints(metadata.constraintCls);
    if (
      metadata.type !== ValidationTypes.CUSTOM_VALIDATION ||
      validateIf ||
      constraint?.async !== false ||
      more.length > 0
    )
      return undefined;
    const check = constraint.instance;
    fields.add(property);
    all.push((instance) => {
      const value: unknown = (instance as Record<string, unknown>)[property];
      const args: ValidationArguments = { targetName: type.name, property, object: instance, value, constraints };
      if (!each) return check.validate(value, args) === true;
      return Array.isArray(value) && value.every((one) => check.validate(one, args) === true);
    });
  }
  return fields.size === 0 ? undefined : { fields, all };
}
